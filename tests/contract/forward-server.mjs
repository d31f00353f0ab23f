// A server for the forwarding tests: the wire of docs/forwarding.md, kept in memory, on an address of its own, so that
// requests cross origins. Tests make it refuse, forget and go away. What PostgreSQL makes of frames is tested in
// tests/server.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { tableFromIPC } from 'apache-arrow';

const digestOf = (bytes) => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;

const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Methods': 'GET, PUT',
  'Access-Control-Allow-Headers':
    'Authorization, Content-Type, Content-Digest, Content-Encoding, Framelock-Item-Digest',
  'Access-Control-Expose-Headers': 'Retry-After',
  'Access-Control-Max-Age': '600',
};

/** See the top of the file. */
export class ForwardServer {
  /** Stream id → what came under each sequence number: { digest, table, rows, skip }. */
  streams = new Map();
  /** Every request that was answered: method, path, authorization, encoding, status. */
  requests = [];
  /** The token that is wanted, if one is. */
  token;
  /** Whether rows are read; what reads them takes processor time from whoever is measured. */
  reads = true;
  /** Gives the reason to refuse a row, or nothing. */
  refuse = () => undefined;
  #server;
  #port = 0;

  /** Listens; on the same port again after `stop`. */
  async start() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
    await new Promise((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = this.#server.address().port;
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}/api/`;
  }

  /** Goes away, with every connection. */
  async stop() {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  /** The rows of a table, in the order of streams and sequence numbers. */
  rows(table) {
    return [...this.streams.values()].flatMap((items) =>
      items.filter((item) => item.table === table).flatMap((item) => item.rows),
    );
  }

  async #answer(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const { method, url, headers } = request;
    if (method === 'OPTIONS') return response.writeHead(204, CORS).end();
    const [status, body] = this.#handle(method, url, headers, Buffer.concat(parts));
    const { authorization, 'content-encoding': encoding } = headers;
    this.requests.push({ method, url, authorization, encoding, status });
    response.writeHead(status, { ...CORS, 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  }

  #handle(method, url, headers, sent) {
    if (this.token !== undefined && headers.authorization !== `Bearer ${this.token}`) {
      return [401, { code: 'UNAUTHENTICATED' }];
    }
    const { pathname, searchParams } = new URL(url, 'http://localhost');
    const [, stream, range] =
      pathname.match(/^\/api\/v1\/streams\/([0-9a-f-]{36})(?:\/frames\/(.+))?$/) ?? [];
    if (stream === undefined) return [404, {}];
    const items = this.streams.get(stream) ?? [];
    const [from, to = from] = range?.split('-').map(Number) ?? [];
    const since = range === undefined ? searchParams.get('since') : from - 1;
    const skipped = () => {
      const at = items.findIndex(({ skip }, at) => at >= since && skip !== undefined);
      return at < 0 ? [] : [{ seq: at + 1, ...items[at].skip }];
    };
    const stands = () => ({
      last_seq: items.length,
      last_digest: items.at(-1)?.digest ?? null,
      skipped: skipped(),
    });
    if (method === 'GET' && range === undefined) return [200, stands()];
    const body = headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    if (headers['content-digest'] !== digestOf(body)) return [400, { code: 'DIGEST_MISMATCH' }];
    const digest = headers['framelock-item-digest'];
    if (to <= items.length) {
      const known = items[to - 1].digest;
      if (known !== undefined && known !== digest) return [409, { code: 'STREAM_FORKED' }];
      return [200, stands()];
    }
    const after = searchParams.get('after');
    const follows = after === null || items.length === 0 || after === items.at(-1).digest;
    if (from !== items.length + 1 || !follows) return [409, { code: 'SEQ_GAP', ...stands() }];
    const table = searchParams.get('table');
    const skip = searchParams.get('skip') === '1' ? JSON.parse(body.toString()) : undefined;
    const empty = skip !== undefined || !this.reads;
    const rows = empty
      ? []
      : tableFromIPC(body)
          .toArray()
          .map((row) => ({ ...row.toJSON() }));
    const reason = rows.map(this.refuse).find((found) => found !== undefined);
    if (reason) return [422, { code: 'REJECTED', reason }];
    if (!skip && to === from && digestOf(body) !== digest) return [400, { code: 'DIGEST_MISMATCH' }];
    for (let seq = from; seq < to; seq++) items.push({ table, rows: [] });
    items.push({ table, rows, digest, skip });
    this.streams.set(stream, items);
    return [201, { ...stands(), rows: rows.length }];
  }
}
