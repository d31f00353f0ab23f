// One request to the server that frames are forwarded to, in the worker: address, token, compression, fetch. What to
// ask, when to ask again and what an answer means is the engine's to say.

/** What the engine wants asked. */
export interface ExchangeRequest {
  method: 'GET' | 'PUT';
  /** What follows the base address. */
  path: string;
  contentType: string;
  contentDigest: string;
  itemDigest: string;
  body: Uint8Array<ArrayBuffer>;
  /** Whether the body may be compressed. */
  gzip: boolean;
}

/** What the server said. */
export interface ExchangeAnswer {
  status: number;
  retryAfterMs: number | undefined;
  body: string;
}

/** Smaller bodies gain nothing by compression. */
const GZIP_BYTES = 1024;
/** An answer says a few fields; more is none of ours. */
const ANSWER_BYTES = 65_536;

/** The exchanges of one handle. */
export class Exchanger {
  readonly #base: string;
  /** The last one that the page gave; kept in memory only. */
  token: string | undefined;

  constructor(base: string) {
    this.#base = base;
  }

  /** Asks, and gives the answer; rejects when none came. */
  async exchange(request: ExchangeRequest, signal: AbortSignal): Promise<ExchangeAnswer> {
    const { method, path, body: bytes, gzip } = request;
    const headers = new Headers();
    if (this.token !== undefined) headers.set('Authorization', `Bearer ${this.token}`);
    let body: BodyInit | null = null;
    if (method === 'PUT') {
      headers.set('Content-Type', request.contentType);
      headers.set('Content-Digest', request.contentDigest);
      headers.set('Framelock-Item-Digest', request.itemDigest);
      body = bytes;
      if (gzip && bytes.byteLength >= GZIP_BYTES && typeof CompressionStream !== 'undefined') {
        headers.set('Content-Encoding', 'gzip');
        body = await gzipped(bytes);
      }
    }
    // No redirects: the token is for this server, and a frame is not to be sent to another one.
    const init = { method, headers, body, signal, cache: 'no-store', redirect: 'error' } as const;
    const response = await fetch(this.#base + path, init);
    return {
      status: response.status,
      retryAfterMs: retryAfterMs(response.headers.get('Retry-After')),
      body: (await response.text()).slice(0, ANSWER_BYTES),
    };
  }
}

function gzipped(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

/** Seconds, or a date (RFC 9110, 10.2.3). */
function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
