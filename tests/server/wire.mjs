// The wire as a sender speaks it, as little of it as tests need: digests, addresses, one request.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

export const ARROW = 'application/vnd.apache.arrow.stream';

/** The digest of bytes as the headers have it. */
export const digestOf = (bytes) => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;

/** A request for items `seq` (a number, or `from-to`); what `headers` and `search` name is put over the rest. */
export function frameRequest(stream, seq, table, bytes, options = {}) {
  const { token = 'alice', gzip = false, headers = {}, search = {}, base = 'http://server/sync' } = options;
  const query = new URLSearchParams({ table, ...search });
  const all = {
    Authorization: `Bearer ${token}`,
    'Content-Type': ARROW,
    'Content-Digest': digestOf(bytes),
    ...(gzip && { 'Content-Encoding': 'gzip' }),
    ...headers,
  };
  return new Request(`${base}/v1/streams/${stream}/frames/${seq}?${query}`, {
    method: 'PUT',
    headers: Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)),
    body: gzip ? gzipSync(bytes) : bytes,
    duplex: 'half',
  });
}

/** A request that gives an item up. */
export function skipRequest(stream, seq, table, skip, options = {}) {
  const bytes = Buffer.from(JSON.stringify(skip));
  const headers = { 'Content-Type': 'application/json', ...options.headers };
  return frameRequest(stream, seq, table, bytes, {
    ...options,
    headers,
    search: { ...options.search, skip: '1' },
  });
}

export function stateRequest(stream, options = {}) {
  const { token = 'alice', search, base = 'http://server/sync' } = options;
  const query = search ? `?${new URLSearchParams(search)}` : '';
  return new Request(`${base}/v1/streams/${stream}${query}`, {
    headers: { Authorization: `Bearer ${token}` },
  });
}

/** What a response says, in one object that is compared at once. */
export async function read(response) {
  const text = await response.text();
  return { status: response.status, ...(text && JSON.parse(text)) };
}

/** An authorize for tests: the token is the tenant's name; `nobody` is forbidden, no token is not known. */
export function authorize(request) {
  const token = request.headers.get('Authorization')?.replace(/^Bearer /, '');
  if (!token) return 'UNAUTHENTICATED';
  return token === 'nobody' ? 'FORBIDDEN' : { tenant: token };
}

/** An engine that is never to write anything. */
export const engine = {
  state: async () => ({ lastSeq: 0, lastDigest: null }),
  apply: async () => assert.fail('nothing is to be written'),
};
