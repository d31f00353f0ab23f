// The addresses of the wire, below any base:
//
//   {base}/v1/streams/{stream}                     GET: how far the stream is; ?since= asks for skips after that seq
//   {base}/v1/streams/{stream}/frames/{seq}        PUT: one item;    ?table= names its table, &skip=1 gives it up
//   {base}/v1/streams/{stream}/frames/{from}-{to}  PUT: consecutive items of one table
//
// &after= is the digest of the item before these, from senders that say it.
import { isDigest } from './digest.js';
import { Problem } from './problem.js';

export interface Route {
  stream: string;
  /** Null when the stream's state is asked for. */
  frames: { from: number; to: number; table: string; skip: boolean; after: string | null } | null;
  /** Where the sender's knowledge ends; null when it does not say. */
  since: number | null;
}

const PATH = /\/v1\/streams\/([^/]*)(?:\/frames\/([^/]*))?$/;
const STREAM = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SINCE = /^(?:0|[1-9]\d{0,14})$/;
const SEQ = /^([1-9]\d{0,15})(?:-([1-9]\d{0,15}))?$/;

/** Reads an address; throws a problem when it is none of ours. */
export function parseRoute(url: URL, method: string): Route {
  const [, stream, frames] = PATH.exec(url.pathname) ?? [];
  if (stream === undefined) throw new Problem('NOT_FOUND');
  if (method !== (frames === undefined ? 'GET' : 'PUT')) throw new Problem('METHOD_NOT_ALLOWED');
  if (!STREAM.test(stream)) throw bad('the stream must be a UUID in lower case');
  if (frames === undefined) {
    const since = url.searchParams.get('since');
    if (since !== null && !SINCE.test(since)) throw bad('since must be a seq, or 0');
    return { stream, frames: null, since: since === null ? null : Number(since) };
  }
  const [, first, last = first] = SEQ.exec(frames) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to))
    throw bad('a seq must be an integer of at least 1');
  if (from > to) throw bad('a range must ascend');
  const tables = url.searchParams.getAll('table');
  const [table = ''] = tables;
  if (tables.length !== 1 || table === '') throw bad('the address must name exactly one table');
  const skip = url.searchParams.get('skip') === '1';
  if (skip && from !== to) throw bad('a skip is for one item');
  const after = url.searchParams.get('after');
  if (after !== null && !isDigest(after)) throw bad('after must be a digest');
  return { stream, frames: { from, to, table, skip, after }, since: from - 1 };
}

const bad = (detail: string) => new Problem('BAD_REQUEST', { detail });
