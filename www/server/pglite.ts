// pglite(db): the engine on PGlite, PostgreSQL in this very process: for tests and small servers. It has one
// connection, so requests take turns.
import { unavailable } from './problem.js';
import { problemOf } from './sqlstate.js';
import { sqlEngine, type BooksOptions, type Row } from './transaction.js';
import type { Engine, Run } from './types.js';
import type { Session } from './transaction.js';

/** What is used of a `PGlite`. */
export interface PGliteLike {
  transaction<T>(work: (tx: PGliteTransaction) => Promise<T>): Promise<T | undefined>;
}

/** What is used of its transactions. */
export interface PGliteTransaction {
  query(text: string, parameters?: unknown[], options?: { blob?: Blob | File }): Promise<{ rows: Row[] }>;
}

/**
 * The engine on PGlite.
 *
 * @example
 * const engine = pglite(await PGlite.create('./data'));
 */
export function pglite(db: PGliteLike, options: BooksOptions = {}): Engine {
  return sqlEngine({ transaction: (run, work) => transaction(db, run, work) }, options);
}

async function transaction<T>(
  db: PGliteLike,
  { signal }: Run,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  let done: { result: T } | undefined;
  try {
    await db.transaction(async (tx) => {
      // Its turn may have come too late. Once it has begun nothing can interrupt it.
      if (signal.aborted) throw unavailable(signal.reason);
      done = { result: await work(sessionOf(tx)) };
    });
  } catch (error) {
    throw done ? problemOf(error, 'commit') : error;
  }
  if (!done) throw unavailable(new Error('the transaction was rolled back'));
  return done.result;
}

const sessionOf = (tx: PGliteTransaction): Session => ({
  async query(text, parameters = []) {
    return (await tx.query(text, [...parameters])).rows;
  },
  async copy(text, next) {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for (let piece = next(); piece; piece = next()) pieces.push(piece);
    // It reads what a driver would send from a device of this name.
    // The last of these words is not a name's.
    const at = text.lastIndexOf('FROM STDIN');
    const copy = `${text.slice(0, at)}FROM '/dev/blob'${text.slice(at + 'FROM STDIN'.length)}`;
    await tx.query(copy, [], { blob: new Blob(pieces) });
  },
});
