// The engine of everything that speaks PostgreSQL's SQL: one transaction for each request.
//
//   lock the stream's row, compare seq and digest          else answer what is known
//   describe the table, plan, make or widen it, again      until the plan has no statements
//   COPY
//   move last_seq, note the digest, describe once more     changed meanwhile? undo, try again
//   commit
//
// The last description is the proof that the bytes were written for the columns that COPY found: COPY's lock keeps the
// table as it is from then on, and before it there was no lock.
import { notYours, unavailable } from './problem.js';
import { decide } from './sequence.js';
import {
  booksIn,
  booksStatements,
  describe,
  LOGGED_REQUESTS,
  quote,
  SCHEMA_LOCK,
  TRIM_EVERY,
  type Books,
} from './sql.js';
import { problemOf, type Phase } from './sqlstate.js';
import type {
  Engine,
  Frame,
  Outcome,
  Plan,
  Run,
  Skipped,
  StateKey,
  StreamKey,
  StreamState,
  Table,
  Write,
} from './types.js';

/** A row of a driver's result. */
export type Row = Record<string, unknown>;

/** A connection inside a transaction. */
export interface Session {
  query(text: string, parameters?: readonly unknown[]): Promise<Row[]>;
  /** Runs a COPY … FROM STDIN with the pieces that a function gives until it gives null. */
  copy(text: string, next: () => Uint8Array<ArrayBuffer> | null): Promise<void>;
}

/** Whatever can run a transaction at the isolation READ COMMITTED; it commits when the work resolves. */
export interface SqlDatabase {
  transaction<T>(run: Run, work: (session: Session) => Promise<T>): Promise<T>;
}

/** Where the server keeps its books. */
export interface BooksOptions {
  /** The schema of `framelock_streams` and `framelock_frames`. Default: the first of the search path. */
  namespace?: string;
}

/** Bytes of COPY that are made and sent at a time. */
const PIECE_BYTES = 1 << 20;
/** Making a table and then widening it are two rounds; a third has met somebody else's change. */
const MAX_ROUNDS = 4;
/**
 * While an ALTER TABLE waits for whoever uses the table, everybody else waits behind it: so not for long. It holds to
 * the end of the transaction, which has the table for itself from then on and must not wait for anything else either.
 */
const SHORT_LOCK_WAIT = "SET LOCAL lock_timeout = '1s'";

/** An engine on a database. */
export function sqlEngine(database: SqlDatabase, { namespace }: BooksOptions): Engine {
  const books = booksIn(namespace);
  let made: Promise<void> | undefined;
  const ready = (run: Run): Promise<void> => {
    made ??= makeBooks(database, run, books, namespace).catch((error: unknown) => {
      made = undefined;
      throw problemOf(error, 'books');
    });
    return made;
  };
  const within = <T>(run: Run, work: (session: Session) => Promise<T>): Promise<T> =>
    attempt('books', () =>
      database.transaction(run, work).catch((error: { code?: unknown } | null) => {
        // Somebody has dropped the books: whoever comes next makes them anew.
        if (error?.code === '42P01') made = undefined;
        throw error;
      }),
    );
  return {
    async state(key, run) {
      await ready(run);
      return within(run, (session) => stateOf(session, books, key));
    },
    async apply(write, run) {
      await ready(run);
      return within(run, (session) => apply(session, books, write));
    },
  };
}

async function attempt<T>(phase: Phase, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw problemOf(error, phase);
  }
}

/** Makes the books when they are not there. Looking first lets a role work that may not create tables. */
async function makeBooks(database: SqlDatabase, run: Run, books: Books, namespace?: string): Promise<void> {
  await database.transaction(run, async (session) => {
    const look = 'SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL AS there';
    const [found] = await session.query(look, [books.streams, books.frames]);
    if (found?.['there']) return;
    await session.query('SELECT pg_advisory_xact_lock($1)', [SCHEMA_LOCK]);
    if (namespace !== undefined) {
      const name = quote(namespace);
      // IF NOT EXISTS would want the right to make it though it is there.
      const [schema] = await session.query('SELECT to_regnamespace($1) IS NOT NULL AS there', [name]);
      if (!schema?.['there']) await session.query(`CREATE SCHEMA ${name}`);
    }
    for (const statement of booksStatements(namespace)) await session.query(statement);
  });
}

/**
 * How far a stream is, without a lock. Only as a server says that may be written: a standby, which may lag, would have
 * a browser send again what was acknowledged, or believe that the server has lost it.
 */
async function stateOf(session: Session, books: Books, key: StateKey): Promise<StreamState> {
  const [server] = await session.query("SELECT current_setting('transaction_read_only') AS read_only");
  if (server?.['read_only'] !== 'off') throw unavailable(new Error('the database is read-only'), 5);
  const state = (await readStream(session, books, key, '')) ?? NEW_STREAM;
  return key.since === null
    ? state
    : { ...state, skipped: await skippedSince(session, books, key.stream, key.since) };
}

/** The first skip after a seq, if there is one; undefined when the log does not go back that far. */
async function skippedSince(
  session: Session,
  { frames }: Books,
  stream: string,
  since: number,
): Promise<Skipped[] | undefined> {
  const [log] = await session.query(
    `SELECT EXISTS (SELECT 1 FROM ${frames} WHERE stream = $1 AND from_seq <= $2::bigint + 1) AS whole, (
      SELECT json_build_object('seq', to_seq, 'digest', digest, 'code', skipped)::text FROM ${frames}
      WHERE stream = $1 AND to_seq > $2::bigint AND skipped IS NOT NULL ORDER BY to_seq LIMIT 1
    ) AS skip`,
    [stream, since],
  );
  if (log?.['whole'] !== true) return undefined;
  return log['skip'] === null ? [] : [JSON.parse(log['skip'] as string) as Skipped];
}

const NEW_STREAM: StreamState = { lastSeq: 0, lastDigest: null };

async function readStream(
  session: Session,
  { streams }: Books,
  { stream, tenant }: StreamKey,
  lock: '' | 'FOR UPDATE',
): Promise<StreamState | null> {
  const [row] = await session.query(
    `SELECT tenant, last_seq::text AS last_seq, last_digest FROM ${streams} WHERE stream = $1 ${lock}`,
    [stream],
  );
  if (!row) return null;
  if (row['tenant'] !== tenant) throw notYours();
  return { lastSeq: Number(row['last_seq']), lastDigest: row['last_digest'] as string | null };
}

/** The stream's state under its lock; the row is made when the first item comes. */
async function lockStream(session: Session, books: Books, write: Write): Promise<StreamState> {
  const known = await readStream(session, books, write, 'FOR UPDATE');
  if (known) return known;
  // A stream that does not begin at its beginning leaves no row.
  if (write.from !== 1) return NEW_STREAM;
  await session.query(
    `INSERT INTO ${books.streams} (stream, tenant) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
    [write.stream, write.tenant],
  );
  const made = await readStream(session, books, write, 'FOR UPDATE');
  if (!made) throw unavailable(new Error('a stream vanished'));
  return made;
}

async function apply(session: Session, books: Books, write: Write): Promise<Outcome> {
  const state = await lockStream(session, books, write);
  // Under the lock and in a statement of its own: one that waited for the lock would still see the log of before.
  const recorded =
    write.to < state.lastSeq
      ? await session.query(`SELECT digest FROM ${books.frames} WHERE stream = $1 AND to_seq = $2`, [
          write.stream,
          write.to,
        ])
      : [];
  const kind = decide(state, (recorded[0]?.['digest'] as string | undefined) ?? null, write);
  if (kind !== 'apply') return { kind, state, rows: 0 };

  const { content, table } = write;
  if ('skipped' in content) {
    await record(session, books, write, state, { rows: 0, skipped: content.skipped });
  } else {
    // For policies and triggers that want to know; gone with the transaction.
    await session.query("SELECT set_config('framelock.tenant', $1, true)", [write.tenant]);
    const description = await writeRows(session, content.frame, table);
    const now = await record(session, books, write, state, { rows: content.frame.rows, skipped: null });
    if (now !== description)
      throw unavailable(new Error('the table was changed while rows were written'), 0.5);
  }
  const rows = 'frame' in content ? content.frame.rows : 0;
  return { kind: 'applied', state: { lastSeq: write.to, lastDigest: write.digest }, rows };
}

/** Moves the stream on, and gives the table's description as it is now. */
async function record(
  session: Session,
  { streams, frames }: Books,
  write: Write,
  state: StreamState,
  { rows, skipped }: { rows: number; skipped: string | null },
): Promise<string | null> {
  const [moved] = await session.query(
    `WITH moved AS (
      UPDATE ${streams} SET last_seq = $2, last_digest = $3, requests = requests + 1, updated_at = now()
      WHERE stream = $1 AND last_seq = $4 RETURNING requests
    ), logged AS (
      INSERT INTO ${frames} (stream, to_seq, from_seq, table_name, rows, digest, skipped)
      SELECT $1, $2, $5, $6, $7, $3, $8 FROM moved
    )
    SELECT requests::text AS requests, ${describe(6)} AS description FROM moved`,
    [write.stream, write.to, write.digest, state.lastSeq, write.from, nameOf(write.table), rows, skipped],
  );
  // The row is locked and was read a moment ago.
  if (!moved) throw unavailable(new Error('a locked stream has moved'));
  if (Number(moved['requests']) % TRIM_EVERY === 0) {
    await session.query(
      `DELETE FROM ${frames} WHERE stream = $1 AND to_seq < (
        SELECT min(to_seq) FROM (
          SELECT to_seq FROM ${frames} WHERE stream = $1 ORDER BY to_seq DESC LIMIT ${LOGGED_REQUESTS}
        ) AS kept
      )`,
      [write.stream],
    );
  }
  return moved['description'] as string | null;
}

/** Writes a frame's rows, and gives the description of the table that they were written for. */
async function writeRows(session: Session, frame: Frame, table: Table): Promise<string | null> {
  const name = nameOf(table);
  let locked = false;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const [found] = await session.query(`SELECT ${describe(1)} AS description`, [name]);
    const description = found?.['description'] as string | null;
    const plan = frame.plan({
      namespace: table.namespace,
      table: table.name,
      policy: table.policy,
      description: description === null ? null : (JSON.parse(description) as object),
    });
    if (plan.schema.length === 0) {
      await attempt('rows', () => copyRows(session, frame, plan));
      return description;
    }
    // Two that make a table at once fail, IF NOT EXISTS or not. Whoever waited for the lock looks again.
    const statements = locked
      ? [SHORT_LOCK_WAIT, ...plan.schema]
      : [`SELECT pg_advisory_xact_lock(${SCHEMA_LOCK})`];
    for (const statement of statements) await attempt('schema', () => session.query(statement));
    locked = true;
  }
  throw unavailable(new Error('the table keeps changing'));
}

async function copyRows(session: Session, frame: Frame, plan: Plan): Promise<void> {
  if (frame.rows === 0) return;
  // Made before COPY begins: most of what is refused is refused here, and the connection is still good.
  let first = frame.next(PIECE_BYTES);
  for (const statement of plan.before) await session.query(statement);
  await session.copy(plan.copy, () => {
    const piece = first ?? frame.next(PIECE_BYTES);
    first = null;
    return piece;
  });
  for (const statement of plan.after) await session.query(statement);
}

const nameOf = ({ namespace, name }: Table): string =>
  namespace === null ? quote(name) : `${quote(namespace)}.${quote(name)}`;
