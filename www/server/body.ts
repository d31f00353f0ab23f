// A request's body, read to its end within limits. It is never held compressed and inflated at once, and what is
// beyond the limit is not read.
import { Problem } from './problem.js';

export interface BodyLimits {
  maxBytes: number;
  /** How long it may take beyond what its bytes take at the slowest rate. */
  timeoutMs: number;
}

/** 16 KiB a second: a poor mobile line's uplink. A body that comes faster has all the time that it needs. */
const MIN_BYTES_PER_MS = 16.384;

/**
 * Reads a body, gunzipped when its `Content-Encoding` says so and it is: something in front may have undone it and left
 * the header. Its digest tells whether it is what was sent.
 */
export async function readBody(
  request: Request,
  { maxBytes, timeoutMs }: BodyLimits,
): Promise<Uint8Array<ArrayBuffer>> {
  const coding = request.headers.get('Content-Encoding')?.trim().toLowerCase() ?? 'identity';
  if (coding !== 'identity' && coding !== 'gzip') {
    throw new Problem('UNSUPPORTED_MEDIA', { detail: 'the content coding must be gzip or none' });
  }
  // What is said is not trusted, but saves reading what is refused anyway.
  if (Number(request.headers.get('Content-Length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
  if (request.bodyUsed || request.body?.locked) throw alreadyRead();
  if (!request.body) return new Uint8Array();
  const arriving = new Arriving(request.body, maxBytes);
  const whole = async (): Promise<Uint8Array<ArrayBuffer>> => {
    const isGzip = coding === 'gzip' && (await arriving.isGzip());
    const plain: ReadableStream<Uint8Array> = isGzip
      ? arriving.stream.pipeThrough(new DecompressionStream('gzip') as Inflater)
      : arriving.stream;
    return readAll(plain.getReader(), maxBytes);
  };
  const start = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const look = (): void => {
      const left = start + timeoutMs + arriving.bytes / MIN_BYTES_PER_MS - performance.now();
      if (left > 0) timer = setTimeout(look, left);
      else reject(new Problem('BODY_TIMEOUT', {}, 1));
    };
    look();
  });
  try {
    return await Promise.race([whole(), late]);
  } catch (error) {
    arriving.giveUp();
    if (error instanceof Problem) throw error;
    if (arriving.failure) throw arriving.failure;
    // It came whole and is not gzip: what arrived is not what was sent.
    throw new Problem('DIGEST_MISMATCH', { detail: 'the body is not gzip' }, undefined, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A body on its way, which tells how far it is, and why it ends before its end: what inflates it would make an error of
 * its own of that.
 */
class Arriving {
  readonly stream: ReadableStream<Uint8Array>;
  failure: Problem | undefined;
  /** What has come so far, as it came. */
  bytes = 0;
  /** Read and not yet handed on. */
  readonly #ahead: Uint8Array[] = [];
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(
    body: ReadableStream<Uint8Array>,
    private readonly maxBytes: number,
  ) {
    this.#reader = body.getReader();
    this.stream = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const part = this.#ahead.shift() ?? (await this.#read());
            if (part) controller.enqueue(part);
            else controller.close();
          } catch (error) {
            controller.error(error);
          }
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Whether it begins as gzip does; before anything of the stream is read. */
  async isGzip(): Promise<boolean> {
    const start: number[] = [];
    while (start.length < GZIP.length) {
      const part = await this.#read();
      if (!part) return false;
      this.#ahead.push(part);
      start.push(...part.subarray(0, GZIP.length));
    }
    return GZIP.every((byte, i) => byte === start[i]);
  }

  /** Nobody waits for this: the sender may never send another byte. */
  giveUp(): void {
    this.#reader.cancel().catch(() => undefined);
  }

  async #read(): Promise<Uint8Array | null> {
    try {
      const { done, value } = await this.#reader.read();
      if (done) return null;
      this.bytes += value.byteLength;
      // Gzip may go on for ever and inflate to nothing.
      if (this.bytes > this.maxBytes) throw tooLarge(this.maxBytes);
      return value;
    } catch (error) {
      this.failure = error instanceof Problem ? error : brokenOff();
      throw this.failure;
    }
  }
}

const GZIP = [0x1f, 0x8b];

/** The line was cut, by the sender or on the way. No `cause`: the operator can do nothing about it. */
const brokenOff = () => new Problem('UNAVAILABLE', { detail: 'the body did not arrive whole' }, 1);

/** Something in front of the handler has read the body, and its bytes are gone. */
export function alreadyRead(): Problem {
  const cause = new Error(
    "something has read the request's body already: mount framelock's handler before body parsers " +
      '(express.json() and the like), or let them keep the bytes as a Buffer in request.rawBody',
  );
  return new Problem('INTERNAL', {}, 60, { cause });
}

type Inflater = ReadableWritablePair<Uint8Array, Uint8Array>;

async function readAll(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > maxBytes) throw tooLarge(maxBytes);
    parts.push(value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

const tooLarge = (maxBytes: number) =>
  new Problem('TOO_LARGE', { detail: `a body has at most ${maxBytes} bytes` });
