// A query whose rows stay up to date: it runs again when a commit of any tab changed one of the tables that it reads.
// It stands on what every caller has, `query` and `on('commit')`, and the engine knows nothing of it.
import { callback as isFunction, describe, ownOptions, signal as isSignal, sqlText } from './arguments.js';
import { callSafely, hasNotStarted } from './channel.js';
import { whenRestarted } from './channels.js';
import { FramelockError, invalidArgument } from './errors.js';
import { queryOptions } from './options.js';
import type { Database, Params, QueryOptions, StatementOptions } from './types.js';

/** Options of {@link live}: those of `query`, and what to do about an error. */
export interface LiveOptions extends Omit<QueryOptions, 'signal'> {
  /** Ends it when it fires, as the returned function does. */
  signal?: AbortSignal | undefined;
  /**
   * Given what a run threw. It goes on where that makes sense: after `BUSY` and the first `WORKER_FAILED`s by itself, after
   * an error of the SQL with the next commit. Default: the error is reported as an uncaught one.
   */
  onError?: ((error: unknown) => void) | undefined;
}

/** After a run that did not get the lock, or lost its worker, the next one begins this much later. */
const AGAIN_MS = 500;

/** After so many runs in a row that lost their worker, another one would, too. */
const MOST_LOST = 3;

/** The last run of each handle that began after its worker had died. */
const turns = new WeakMap<object, Promise<void>>();

/**
 * All that ran in a worker fails with it. Those runs are made again one at a time: the one that it died of does so alone,
 * and the others go on.
 */
function inTurn(db: object, run: () => Promise<void>): Promise<void> {
  const turn = (turns.get(db) ?? Promise.resolve()).then(run);
  turns.set(db, turn);
  return turn;
}

/** After these there is nothing left to ask, or no sense in asking again. */
const FINAL = ['CLOSED', 'INVALID_ARGUMENT', 'STORAGE_LOST', 'PROTOCOL_VERSION'];

/** SQLite compares names so. */
const fold = (name: string) => name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());

/** What a query's rows depend on. */
interface Dependencies {
  /** The tables that it reads; none: all of them. */
  reads: Set<string> | undefined;
  /** All tables that there were. A view may be made anew, and be another one. */
  known: Set<string>;
}

interface Instruction {
  opcode: string;
  p2: number;
  p3: number;
}

/** Asks SQLite which tables a query reads: its program opens them by their first pages. */
async function dependenciesOf(
  db: Pick<Database, 'query'>,
  sql: string,
  params: Params,
  options: StatementOptions,
): Promise<Dependencies> {
  const program = await db.query<Instruction>(`EXPLAIN ${sql}`, params, options);
  const schema = await db.query<{ name: string; tbl_name: string; rootpage: number }>(
    "SELECT name, tbl_name, rootpage FROM sqlite_schema WHERE type <> 'view'",
    [],
    options,
  );
  if (program.some(({ opcode, p2 }) => opcode === 'Transaction' && Number(p2) !== 0)) {
    throw invalidArgument('the query of live must only read');
  }
  const known = new Set(schema.map(({ name }) => fold(name)));
  const tables = new Map(schema.map(({ rootpage, tbl_name }) => [Number(rootpage), fold(tbl_name)]));
  const opened = program.filter(({ opcode, p3 }) => opcode === 'OpenRead' && Number(p3) === 0);
  const reads = opened.map(({ p2 }) => tables.get(Number(p2)));
  // Virtual tables read what they like; the schema itself has no name in the schema.
  const all = program.some(({ opcode }) => opcode === 'VOpen') || reads.includes(undefined);
  return { reads: all ? undefined : new Set(reads as string[]), known };
}

/**
 * Runs a query now, and again after every commit, in any tab, that changed a table which the query reads. Commits during
 * a run lead to one further run. Every run sees all that was committed before it. Returns a function that ends it; closing
 * the database ends it too.
 *
 * @param callback Called with the rows of every run, even if they are the same as before.
 * @example
 * const stop = live(db, 'SELECT sym, max(price) AS top FROM ticks GROUP BY sym', [], (rows) => {
 *   list.replaceChildren(...rows.map(({ sym, top }) => new Option(`${sym} ${top}`)));
 * });
 */
export function live<Row = Record<string, unknown>>(
  db: Pick<Database, 'query' | 'on'>,
  sql: string,
  params: Params,
  callback: (rows: Row[]) => void,
  options?: LiveOptions,
): () => void {
  const text = sqlText(sql);
  if (typeof callback !== 'function') {
    throw invalidArgument(`the callback of live must be a function, not ${describe(callback)}`);
  }
  const { signal, onError = reportError, ...reading } = liveOptions(options);
  // Changing them afterwards changes nothing.
  const values = (Array.isArray(params) ? [...params] : { ...params }) as Params;
  const ended = new AbortController();
  const waiting: StatementOptions = { timeoutMs: reading.timeoutMs, signal: ended.signal };
  let dependencies: Dependencies | undefined;
  let stale = true;
  let running = false;
  /** So many runs before this one ended with their workers. */
  let lost = 0;

  const stop = () => {
    off();
    forget();
    signal?.removeEventListener('abort', stop);
    ended.abort();
  };
  const isConcerned = (changed: string[]) => {
    if (!dependencies?.reads) return true;
    const { reads, known } = dependencies;
    return changed.map(fold).some((name) => {
      // What is new under a name may be what a name of the query now means.
      if (!known.has(name)) dependencies = undefined;
      return reads.has(name) || !known.has(name);
    });
  };
  const off = db.on('commit', ({ tables }) => {
    if (!isConcerned(tables)) return;
    stale = true;
    void run();
  });
  // What was committed meanwhile was not heard of.
  const forget = whenRestarted(db, () => {
    dependencies = undefined;
    stale = true;
    void run();
  });

  const once = async () => {
    try {
      if (!dependencies) {
        const found = await dependenciesOf(db, text, values, waiting);
        // A commit meanwhile may have been one that changes them.
        if (!stale) dependencies = found;
      }
      const rows = await db.query<Row>(text, values, { ...reading, ...waiting });
      lost = 0;
      if (!ended.signal.aborted) callSafely(() => callback(rows));
    } catch (error) {
      if (ended.signal.aborted) return;
      const code = error instanceof FramelockError ? error.code : undefined;
      if (code !== 'CLOSED') callSafely(() => onError(error));
      // Without a worker it waits until there is one.
      lost = code === 'WORKER_FAILED' && !hasNotStarted(error) ? lost + 1 : 0;
      if (lost === MOST_LOST || (code !== undefined && FINAL.includes(code))) return stop();
      if (code !== 'BUSY') dependencies = undefined;
      if (code === 'BUSY' || lost > 0) {
        stale = true;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  };
  const run = async () => {
    if (running) return;
    running = true;
    while (stale && !ended.signal.aborted) {
      stale = false;
      await (lost > 0 ? inTurn(db, once) : once());
    }
    running = false;
  };

  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop);
  void run();
  return stop;
}

/** The options of `live`; those of `query` are checked as `query` checks them. */
function liveOptions(given: LiveOptions | undefined): LiveOptions {
  const any = () => undefined;
  const { onError, signal, ...reading } = ownOptions<LiveOptions>('options', given, {
    onError: isFunction,
    signal: isSignal,
    timeoutMs: any,
    int64: any,
    dates: any,
  });
  const checked: LiveOptions = queryOptions(reading);
  if (onError) checked.onError = onError;
  if (signal) checked.signal = signal;
  return checked;
}
