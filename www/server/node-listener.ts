// toNodeListener(handler): the handler for node:http, node:http2, Express and everything else that calls `(req, res)`.
import { alreadyRead } from './body.js';
import type { FrameHandler } from './types.js';

/** What is used of node's `IncomingMessage`. */
export interface NodeRequest {
  method?: string | undefined;
  url?: string | undefined;
  rawHeaders: string[];
  complete: boolean;
  /** Whether something has taken bytes of the body already. */
  readableDidRead?: boolean | undefined;
  /** What a body parser in front has made of the body: bytes are taken in place of what it has read. */
  body?: unknown;
  rawBody?: unknown;
  // `any`, as node's own types have it: a listener's arguments depend on the event.
  on(event: string, listener: (...args: any[]) => void): unknown;
  pause(): unknown;
  resume(): unknown;
  destroy(): unknown;
}

/** What is used of node's `ServerResponse`. */
export interface NodeResponse {
  headersSent: boolean;
  writeHead(status: number, headers: Record<string, string>): unknown;
  end(body?: Uint8Array, done?: () => void): unknown;
}

/**
 * How long, and for how many bytes, a sender that was refused is listened to, so that it sees the answer: one that is
 * cut off while it writes may never read it. Nothing of it is kept.
 */
const LINGER_MS = 1_000;
const LINGER_BYTES = 16 << 20;

/**
 * The handler for `node:http`, `node:http2`, Express and everything else that calls `(request, response)`. An address
 * that something before it has shortened (Express's routers) does not matter. `onError` is told of a request that never
 * reached the handler, or of an answer that could not be given; default `console.error`.
 *
 * @example
 * createServer(toNodeListener(handler)).listen(8787);
 */
export function toNodeListener(
  handler: FrameHandler,
  onError: (error: unknown) => void = (error) => console.error('framelock/server:', error),
): (request: NodeRequest, response: NodeResponse) => void {
  return (request, response) => {
    // A socket that breaks is told by the body's stream; without a listener it would end the process.
    request.on('error', () => undefined);
    respond(handler, request, response).catch((error: unknown) => {
      onError(error);
      if (response.headersSent) {
        request.destroy();
      } else {
        // HTTP/2 does not end a request that is destroyed.
        response.writeHead(500, { 'content-length': '0' });
        response.end();
      }
    });
  };
}

async function respond(handler: FrameHandler, request: NodeRequest, response: NodeResponse): Promise<void> {
  const asked = requestOf(request);
  const answer = await handler(asked);
  const body = new Uint8Array(await answer.arrayBuffer());
  const headers = { ...Object.fromEntries(answer.headers), 'content-length': String(body.byteLength) };
  response.writeHead(answer.status, headers);
  response.end(body);
  if (request.complete) return;
  // Answered before the body was read. Without `connection: close`, at which node cuts the connection at once; and with
  // nobody who holds the sender back, as an unread body does.
  asked.body?.cancel().catch(() => undefined);
  let bytes = 0;
  request.on('data', (chunk: Uint8Array) => {
    bytes += chunk.byteLength;
    if (bytes > LINGER_BYTES) request.destroy();
  });
  request.resume();
  const timer = setTimeout(() => request.destroy(), LINGER_MS);
  request.on('close', () => clearTimeout(timer));
}

function requestOf(request: NodeRequest): Request {
  const method = request.method ?? 'GET';
  const headers = new Headers();
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i]!;
    // HTTP/2 has the method and the path among them, as `:method` and `:path`.
    if (!name.startsWith(':')) headers.append(name, request.rawHeaders[i + 1]!);
  }
  // The host is the sender's word and is used for nothing.
  const url = new URL(`http://localhost${(request.url ?? '/').replace(/^[^/]*/, '')}`);
  const hasBody = method !== 'GET' && method !== 'HEAD';
  const body = hasBody && (request.readableDidRead ? parsedBody(request, headers) : bodyOf(request));
  const init = { method, headers, ...(body && { body, duplex: 'half' }) };
  return new Request(url, init as RequestInit);
}

/** The body that a parser in front has read, if it has kept its bytes. */
function parsedBody(request: NodeRequest, headers: Headers): Uint8Array | ReadableStream<Uint8Array> {
  const bytes = [request.rawBody, request.body].find((kept) => kept instanceof Uint8Array);
  if (!bytes) return new ReadableStream({ start: (controller) => controller.error(alreadyRead()) });
  // Parsers undo gzip, and leave the header; neither Arrow nor JSON begins as gzip does.
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) headers.delete('Content-Encoding');
  return bytes;
}

/** The body as a web stream that holds no more than what is asked for. */
function bodyOf(request: NodeRequest): ReadableStream<Uint8Array> {
  let open = true;
  const end = (close: () => void): void => {
    if (open) close();
    open = false;
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        request.on('data', (chunk: Uint8Array) => {
          if (!open) return;
          controller.enqueue(new Uint8Array(chunk));
          if ((controller.desiredSize ?? 0) <= 0) request.pause();
        });
        request.on('end', () => end(() => controller.close()));
        // `close` without `end`: the sender broke off.
        request.on('close', () => end(() => controller.error(new Error('the request was broken off'))));
        request.pause();
      },
      pull: () => void request.resume(),
      // The sender goes on, and what is cancelled may be neither filled nor closed.
      cancel() {
        open = false;
        request.pause();
      },
    },
    { highWaterMark: 4 },
  );
}
