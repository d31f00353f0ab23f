// clickhouse({ url, … }): the engine on ClickHouse's HTTP interface.
//
// There is no transaction and no lock. What makes a frame exactly once:
//
// - The rows say themselves which frame they are of, and whose, in a column `_framelock`: `stream/from-to/digest` and the
//   tenant. A frame is one INSERT of one block, which is there as a whole or not at all; so whoever sees one of its rows
//   knows that all are.
// - `insert_deduplication_token` is `stream/from`: of all that is ever sent as the continuation of a stream at `from`,
//   however it is cut and by whichever server, the table takes one block.
// - The log (`framelock_frames`) is written after the rows and only spares looking through them. A server that dies in
//   between leaves rows without a record: the next request looks for rows at `from` first, finds them, and writes the
//   record. After its own INSERT a server looks again, and records what is there, which may be another's.
//
//   read the log, compare seq and digest      else answer what is known
//   look for rows at `from`                   there? record them, and answer by what they are
//   make the table fit, INSERT with the token
//   look again, record what is there          though the INSERT was refused: that may have been a view behind the table
import { notYours, Problem, unavailable } from './problem.js';
import { decide } from './sequence.js';
import type { Engine, Frame, Outcome, Run, Skipped, StreamKey, StreamState, Table, Write } from './types.js';

/** Where ClickHouse is. */
export interface ClickHouseOptions {
  /** The HTTP interface, such as `http://localhost:8123/`. */
  url: string | URL;
  user?: string | undefined;
  password?: string | undefined;
  database?: string | undefined;
  /** In place of the global `fetch`. */
  fetch?: ((url: URL, init: RequestInit) => Promise<Response>) | undefined;
}

/** The column in which rows say what frame they are of. */
const TAG = '_framelock';
const BOOKS = 'framelock_frames';

/** One block for each INSERT, whatever the server's defaults are; nothing is put in a column that was not sent. */
const INSERT_SETTINGS = {
  async_insert: '0',
  insert_deduplicate: '1',
  max_insert_block_size: '100000000',
  min_insert_block_size_rows: '100000000',
  min_insert_block_size_bytes: '0',
  input_format_null_as_default: '0',
  // Or tables that merge rows would begin with those of the block, of which some would never be there.
  optimize_on_insert: '0',
  wait_end_of_query: '1',
};

/** What is wrong with the rows themselves; everything else may work another time. */
const REJECTIONS: Record<string, string> = {
  '69': 'VALUE_OUT_OF_RANGE',
  '131': 'VALUE_OUT_OF_RANGE',
  '190': 'CONSTRAINT', // lists of one Nested column that are not of one length
  '321': 'VALUE_OUT_OF_RANGE',
  '349': 'CONSTRAINT', // NULL in a column that has none
  '407': 'VALUE_OUT_OF_RANGE',
  '469': 'CONSTRAINT',
};

const MAX_ROUNDS = 4;

/**
 * The engine on ClickHouse's HTTP interface.
 *
 * @example
 * const engine = clickhouse({ url: 'http://localhost:8123/', database: 'sync' });
 */
export function clickhouse(options: ClickHouseOptions): Engine {
  const server = new Server(options);
  let made: Promise<void> | undefined;
  /** Works with the books. After a failure they are looked for again: somebody may have dropped them. */
  const withBooks = async <T>(run: Run, work: () => Promise<T>): Promise<T> => {
    try {
      await (made ??= server.makeBooks(run));
      return await work();
    } catch (error) {
      made = undefined;
      throw error;
    }
  };
  return {
    state: (key, run) =>
      withBooks(run, async () => {
        const { state } = await server.log(key, 0, run);
        return key.since === null
          ? state
          : { ...state, skipped: await server.skippedSince(key, key.since, run) };
      }),
    apply: (write, run) => withBooks(run, () => apply(server, write, run)),
  };
}

/**
 * The statement that makes ClickHouse's books. `clickhouse()` runs it when the table is not there; a user that may not
 * create tables needs it run by one that may.
 *
 * @example
 * await admin.command({ query: clickhouseBooksSql() });
 */
export function clickhouseBooksSql(): string {
  return `CREATE TABLE IF NOT EXISTS ${BOOKS} (stream String, to_seq UInt64, from_seq UInt64, tenant String,
  table_name String, rows UInt64, digest String, skipped String, applied_at DateTime64(3) DEFAULT now64(3))
ENGINE = MergeTree ORDER BY (stream, to_seq)`;
}

interface Landed {
  to: number;
  digest: string;
  rows: number;
}

type Columns = Record<string, unknown>[] | null;

async function apply(server: Server, write: Write, run: Run): Promise<Outcome> {
  const { state, recorded } = await server.log(write, write.to, run);
  const kind = decide(state, recorded, write);
  if (kind !== 'apply') return { kind, state, rows: 0 };
  const { content, table } = write;
  const columns = await server.columns(table, run);
  // Before the rows are judged, or given up: they may be there, and the table have changed since.
  const before = columns?.some(({ name }) => name === TAG) ? await server.landed(write, run) : null;
  if (before) return recordFound(server, write, before, run);
  if ('skipped' in content) {
    await server.record(write, { to: write.to, digest: write.digest, rows: 0 }, content.skipped, run);
    return { kind: 'applied', state: { lastSeq: write.to, lastDigest: write.digest }, rows: 0 };
  }
  const { frame } = content;
  const insert = await fit(server, frame, table, columns, run);
  let refused: Problem | undefined;
  if (frame.rows > 0) {
    const [data, token] = [frame.stream({ tag: TAG, value: tagOf(write) }), `${write.stream}/${write.from}`];
    await server.insert(insert, data, token, run).catch((error: unknown) => {
      if (!(error instanceof Problem) || error.code !== 'REJECTED') throw error;
      refused = error;
    });
    const after = await server.landed(write, run);
    if (!after)
      throw (
        refused ??
        unavailable(new Error('rows that were inserted are not there: is `_framelock` kept as it is?'))
      );
    if (after.to !== write.to || after.digest !== write.digest) return recordFound(server, write, after, run);
    if (after.rows !== frame.rows) {
      throw unavailable(
        new Error(`${after.rows} rows of a frame of ${frame.rows}: is the table partitioned?`),
      );
    }
  }
  await server.record(write, { to: write.to, digest: write.digest, rows: frame.rows }, '', run);
  const now = { lastSeq: write.to, lastDigest: write.digest };
  return { kind: 'applied', state: now, rows: frame.rows, trouble: refused?.cause };
}

/** Rows at `from` that no record tells of: the record is written, and the request is judged by it. */
async function recordFound(server: Server, write: Write, found: Landed, run: Run): Promise<Outcome> {
  await server.record(write, found, '', run);
  const state: StreamState = { lastSeq: found.to, lastDigest: found.digest };
  const kind = decide(state, null, write);
  // It continued where the stream stood a moment ago, so nothing is left to apply.
  return { kind: kind === 'apply' ? 'gap' : kind, state, rows: 0 };
}

/** Makes the table fit, and gives the INSERT. */
async function fit(server: Server, frame: Frame, table: Table, columns: Columns, run: Run): Promise<string> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const plan = frame.planInsert({
      namespace: table.namespace,
      table: table.name,
      policy: table.policy,
      columns,
      tag: TAG,
    });
    if (plan.schema.length === 0) return plan.insert;
    for (const statement of plan.schema) await server.query(statement, {}, run);
    columns = await server.columns(table, run);
  }
  throw unavailable(new Error('the table keeps changing'));
}

/** Seqs with leading zeros, so that tags are in the order of the frames. */
const padded = (seq: number): string => String(seq).padStart(16, '0');
const startOf = ({ stream, from }: Write): string => `${stream}/${padded(from)}-`;
const tagOf = (write: Write): string => `${startOf(write)}${padded(write.to)}/${write.digest}${write.tenant}`;

class Server {
  constructor(private readonly options: ClickHouseOptions) {}

  /** Makes the books when they are not there. Looking first lets a user work who may not create tables. */
  async makeBooks(run: Run): Promise<void> {
    const [found] = await this.query(`EXISTS TABLE ${BOOKS}`, {}, run);
    if (found?.['result'] !== 1) await this.query(clickhouseBooksSql(), {}, run);
  }

  /** How far a stream is, and the digest under which `to` was recorded. */
  async log({ stream, tenant }: StreamKey, to: number, run: Run) {
    const [row] = await this.query(
      `SELECT toString(max(to_seq)) AS last, argMax(digest, to_seq) AS last_digest, any(tenant) AS owner,
        anyIf(digest, to_seq = {to:UInt64}) AS recorded
      FROM ${BOOKS} WHERE stream = {stream:String}`,
      { stream, to: String(to) },
      run,
    );
    const lastSeq = Number(row?.['last'] ?? 0);
    if (lastSeq === 0) return { state: { lastSeq: 0, lastDigest: null }, recorded: null };
    if (row?.['owner'] !== tenant) throw notYours();
    const state: StreamState = { lastSeq, lastDigest: String(row['last_digest']) };
    return { state, recorded: row['recorded'] ? String(row['recorded']) : null };
  }

  /** The first skip after a seq, if there is one. This log is never cut. */
  async skippedSince({ stream }: StreamKey, since: number, run: Run): Promise<Skipped[]> {
    const [row] = await this.query(
      `SELECT toString(to_seq) AS seq, digest, skipped AS code FROM ${BOOKS}
       WHERE stream = {stream:String} AND to_seq > {since:UInt64} AND skipped != '' ORDER BY to_seq LIMIT 1`,
      { stream, since: String(since) },
      run,
    );
    return row ? [{ seq: Number(row['seq']), digest: String(row['digest']), code: String(row['code']) }] : [];
  }

  /** What stands in a table at a stream's `from`; of somebody else it is none of the sender's business. */
  async landed(write: Write, run: Run): Promise<Landed | null> {
    const start = startOf(write);
    // Everything that begins so, said as a range, which a table in the order of its tags finds at once.
    const [row] = await this.query(
      `SELECT any(${TAG}) AS tag, toString(count()) AS found FROM ${nameOf(write.table)}
      WHERE ${TAG} >= {start:String} AND ${TAG} < {end:String}`,
      { start, end: `${start.slice(0, -1)}.` },
      run,
    );
    const tag = String(row?.['tag'] ?? '').slice(start.length);
    const [, to, digest, tenant] = /^(\d+)\/(sha-256=:[^:]*:)(.*)$/s.exec(tag) ?? [];
    if (to === undefined) return null;
    if (tenant !== write.tenant) throw notYours();
    return { to: Number(to), digest: digest!, rows: Number(row?.['found']) };
  }

  async columns({ namespace, name }: Table, run: Run): Promise<Columns> {
    const rows = await this.query(
      `SELECT name, type, default_kind FROM system.columns WHERE table = {table:String}
        AND database = ${namespace === null ? 'currentDatabase()' : '{database:String}'} ORDER BY position`,
      { table: name, ...(namespace !== null && { database: namespace }) },
      run,
    );
    return rows.length > 0 ? rows : null;
  }

  async record(write: Write, { to, digest, rows }: Landed, skipped: string, run: Run): Promise<void> {
    const { stream, tenant, from, table } = write;
    await this.query(
      `INSERT INTO ${BOOKS} (stream, to_seq, from_seq, tenant, table_name, rows, digest, skipped) SELECT {stream:String},
        {to:UInt64}, {from:UInt64}, {tenant:String}, {table:String}, {rows:UInt64}, {digest:String}, {skipped:String}`,
      {
        ...{ stream, tenant, digest, skipped, table: nameOf(table) },
        ...{ to: String(to), from: String(from), rows: String(rows) },
      },
      run,
    );
  }

  async insert(statement: string, data: Uint8Array<ArrayBuffer>, token: string, run: Run): Promise<void> {
    await this.#post({ query: statement, ...INSERT_SETTINGS, insert_deduplication_token: token }, data, run);
  }

  /** A statement with parameters; rows as JSON for a SELECT. */
  async query(
    text: string,
    parameters: Record<string, string>,
    run: Run,
  ): Promise<Record<string, unknown>[]> {
    const named = Object.entries(parameters).map(([name, value]) => [`param_${name}`, escaped(value)]);
    // A replica that lags would tell of a stream as it was.
    const settings = {
      default_format: 'JSONEachRow',
      select_sequential_consistency: '1',
      wait_end_of_query: '1',
    };
    const said = await this.#post({ ...settings, ...Object.fromEntries(named) }, text, run);
    const lines = said.split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async #post(
    search: Record<string, string>,
    body: string | Uint8Array<ArrayBuffer>,
    { signal }: Run,
  ): Promise<string> {
    const { url, user, password, database, fetch = globalThis.fetch } = this.options;
    const address = new URL(url);
    for (const [name, value] of Object.entries(search)) address.searchParams.set(name, value);
    if (database !== undefined) address.searchParams.set('database', database);
    const headers = new Headers();
    if (user !== undefined) headers.set('X-ClickHouse-User', user);
    if (password !== undefined) headers.set('X-ClickHouse-Key', password);
    let status: number;
    let said: string;
    try {
      const response = await fetch(address, { method: 'POST', headers, body, signal });
      [status, said] = [response.status, await response.text()];
    } catch (error) {
      throw unavailable(error);
    }
    if (status === 200) return said;
    const [, code = ''] = /Code: (\d+)/.exec(said) ?? [];
    const reason = 'query' in search ? REJECTIONS[code] : undefined;
    const cause = new Error(`ClickHouse answered ${status}: ${said.slice(0, 500)}`);
    if (reason !== undefined) throw new Problem('REJECTED', { reason }, undefined, { cause });
    throw unavailable(cause, 2);
  }
}

/** A parameter's value as ClickHouse reads it: with its escapes. */
const escaped = (text: string): string =>
  text.replace(/[\\\t\n\r]/g, (c) => `\\${{ '\t': 't', '\n': 'n', '\r': 'r' }[c] ?? c}`);

const quote = (name: string): string => `\`${name.replace(/[\\`]/g, (c) => `\\${c}`)}\``;
const nameOf = ({ namespace, name }: Table): string =>
  namespace === null ? quote(name) : `${quote(namespace)}.${quote(name)}`;
