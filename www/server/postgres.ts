// postgres(pool): the engine on a pool of `pg` (node-postgres). The pool is the caller's, who also closes it.
import { CopyIn } from './copy-in.js';
import { unavailable } from './problem.js';
import { problemOf } from './sqlstate.js';
import { sqlEngine, type BooksOptions, type Row, type Session } from './transaction.js';
import type { Engine, Run } from './types.js';

/** What is used of pg's `Pool`. */
export interface PgPool {
  connect(callback: (error: Error | undefined, client: PgClient | undefined) => void): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** What is used of pg's `PoolClient`. */
export interface PgClient {
  query(text: string, values?: unknown[]): Promise<{ command: string; rows: Row[] }>;
  release(destroy?: boolean): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
}

/**
 * The engine on a pool of `pg`, which stays yours.
 *
 * @example
 * const engine = postgres(new pg.Pool({ connectionString: process.env.DATABASE_URL }));
 */
export function postgres(pool: PgPool, options: BooksOptions = {}): Engine {
  // An idle connection that ends makes the pool emit an error, which nobody else may be listening for: that would end
  // the process. The pool itself drops the connection.
  pool.on('error', () => undefined);
  return sqlEngine({ transaction: (run, work) => transaction(pool, run, work) }, options);
}

async function transaction<T>(
  pool: PgPool,
  { timeoutMs, signal }: Run,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  let broken: Error | undefined;
  let given = false;
  // A connection that ends between two statements says so by an event alone.
  const onError = (error: Error): void => {
    broken ??= error;
  };
  const client = await connect(pool, signal, onError);
  const giveBack = (destroy: boolean): void => {
    if (given) return;
    given = true;
    // One that is destroyed may have more to say.
    if (!destroy) client.removeListener('error', onError);
    client.release(destroy);
  };
  const onAbort = (): void => giveBack(true);
  signal.addEventListener('abort', onAbort);
  const session = new PgSession(client);
  try {
    // The server's own limits are the last resort, for when nobody is there to end the connection.
    const ms = Math.ceil(timeoutMs);
    await client.query(
      `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = ${ms}; SET LOCAL lock_timeout = ${ms}; ` +
        `SET LOCAL idle_in_transaction_session_timeout = ${ms}`,
    );
    const result = await work(session);
    // Without the limit: a COMMIT that is cancelled while it waits for a standby is answered as if it had not been.
    const results: unknown = await client
      .query('SET LOCAL statement_timeout = 0; COMMIT')
      .catch((error: unknown) => Promise.reject(problemOf(error, 'commit')));
    const command = (results as { command: string }[]).at(-1)?.command;
    // COMMIT of a transaction that has failed is answered, and is a rollback.
    if (command !== 'COMMIT') throw new Error(`COMMIT was answered with ${command}`);
    giveBack(false);
    return result;
  } catch (error) {
    // After a failed COPY nobody knows what the connection still waits for.
    const good = !broken && !given && !session.copyFailed && (await rolledBack(client));
    giveBack(!good);
    throw signal.aborted ? unavailable(signal.reason) : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * A connection of the pool, unless the time is over before there is one; it goes back when it comes then. By callback:
 * a connection can end in the very packet that says it is there, before a promise would have told of it, and its error
 * would end the process.
 */
function connect(pool: PgPool, signal: AbortSignal, onError: (error: Error) => void): Promise<PgClient> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(unavailable(signal.reason));
    // The books were waited for as long as somebody else may.
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort);
    pool.connect((error, client) => {
      signal.removeEventListener('abort', onAbort);
      if (!client) return reject(error);
      if (signal.aborted) return client.release();
      client.on('error', onError);
      resolve(client);
    });
  });
}

async function rolledBack(client: PgClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    // The connection is of no use; it is destroyed, and the server rolls back by itself.
    return false;
  }
}

class PgSession implements Session {
  copyFailed = false;

  constructor(private readonly client: PgClient) {}

  async query(text: string, parameters: readonly unknown[] = []): Promise<Row[]> {
    return (await this.client.query(text, [...parameters])).rows;
  }

  async copy(text: string, next: () => Uint8Array<ArrayBuffer> | null): Promise<void> {
    const copy = new CopyIn(text, next);
    // pg takes anything with a submit() in the text's place.
    void this.client.query(copy as unknown as string);
    try {
      await copy.done;
    } catch (error) {
      this.copyFailed = true;
      throw error;
    }
  }
}
