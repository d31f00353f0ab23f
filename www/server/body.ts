// A request's body, read to its end within limits. It is never held compressed and inflated at once, and what is
// beyond the limit is not read.
import { Problem, unavailable } from './problem.js';

export interface BodyLimits {
  maxBytes: number;
  timeoutMs: number;
}

/** Reads a body, gunzipped when its `Content-Encoding` says so. */
export async function readBody(
  request: Request,
  { maxBytes, timeoutMs }: BodyLimits,
): Promise<Uint8Array<ArrayBuffer>> {
  const coding = request.headers.get('Content-Encoding')?.trim().toLowerCase() ?? 'identity';
  if (coding !== 'identity' && coding !== 'gzip') {
    throw new Problem('UNSUPPORTED_MEDIA', { detail: 'the content coding is gzip or none' });
  }
  // What is said is not trusted, but saves reading what is refused anyway.
  if (Number(request.headers.get('Content-Length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
  if (!request.body) return new Uint8Array();
  const plain: ReadableStream<Uint8Array> =
    coding === 'gzip' ? request.body.pipeThrough(new DecompressionStream('gzip') as Inflater) : request.body;
  const reader = plain.getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(unavailable(new Error(`a body took more than ${timeoutMs} ms`))),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([readAll(reader, maxBytes), late]);
  } catch (error) {
    // Nobody waits for this: the sender may never send another byte.
    reader.cancel().catch(() => undefined);
    if (error instanceof Problem) throw error;
    // Broken off, or not gzip: what arrived is not what was sent.
    throw new Problem('DIGEST_MISMATCH', { detail: 'the body did not arrive whole' }, undefined, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
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
