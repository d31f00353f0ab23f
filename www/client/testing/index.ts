// framelock/testing: a database of its own for every test, another writer on demand, and faults. It uses the package
// as any app does; only the worker of its databases is one that can be told to fail. In Node, node.ts comes on top.
import { describe, flag, guarded, integer, oneOf, ownOptions, type Check } from '../arguments.js';
import { guard } from '../deadline.js';
import { FramelockError, invalidArgument } from '../errors.js';
import { openDatabase, openHandle } from '../database.js';
import { deleteDatabase } from '../index.js';
import type { EnginePort } from '../spawn.js';
import type { AssetOptions, Database, OpenOptions } from '../types.js';
import type { Fault, FaultCounts, FaultPlan, FileFault, PlanMessage, PlanReply } from './plan.js';

export type { Fault, FaultCounts, FaultPlan, FileCall, FileFault } from './plan.js';

/** What a test is given beside its database. */
export interface TestTools {
  /**
   * Opens another handle on the test's database: another writer, which meets the first one under the same rules as
   * another tab's. It is closed after the test. Databases in memory have one handle only.
   */
  open(options?: OpenOptions): Promise<Database>;
}

/** Options of {@link withTestDatabase}. */
export interface TestOptions extends OpenOptions {
  /** Leaves the database where it is, for a look at it after a failure. Default false. */
  keep?: boolean;
}

/** How long a removed test database may go on being open: its workers have just been ended. */
const REMOVE_MS = 2000;
const REMOVE_AGAIN_MS = 20;
/** A worker that does not answer by then has been ended. */
const ANSWER_MS = 5000;

/** The workers of test databases, each the last one of its handle, for `faults`. */
const workers = new WeakMap<Database, { last: EnginePort | undefined; canFail: boolean }>();

/** The names of test databases in memory. */
const inMemoryNames = new Set<string>();

const spawnTestWorker = ({ workerUrl }: AssetOptions): Worker =>
  // Written out in full: bundlers look for exactly this expression.
  workerUrl === undefined
    ? new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'framelock/testing' })
    : new Worker(workerUrl, { type: 'module', name: 'framelock/testing' });

async function openTest(name: string, options: OpenOptions): Promise<Database> {
  const canFail = options.storage !== 'memory' && options.engine === undefined;
  const test = { last: undefined as EnginePort | undefined, canFail };
  const db = await openHandle(name, options, (assets) => (test.last = spawnTestWorker(assets)));
  workers.set(db, test);
  return db;
}

/**
 * Runs `fn` with a fresh database of its own, in real OPFS unless `storage: 'memory'` is asked for. Afterwards every
 * handle that it opened is closed and the database is removed, also when `fn` throws. Tests may run at the same time.
 *
 * Resolves and rejects as `fn` does. Throws `BUSY` when `fn` went well but left a handle open that it got elsewhere.
 *
 * @example
 * test('prices are kept', () =>
 *   withTestDatabase(async (db) => {
 *     await savePrices(db, [{ sym: 'A', price: 9.5 }]);
 *     expect(await db.query('SELECT price FROM prices')).toEqual([{ price: 9.5 }]);
 *   }));
 */
export async function withTestDatabase<T>(
  fn: (db: Database, tools: TestTools) => Promise<T> | T,
  options: TestOptions = {},
): Promise<T> {
  if (typeof fn !== 'function')
    throw invalidArgument(`withTestDatabase needs a function, not ${describe(fn)}`);
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidArgument(`options must be an object, not ${describe(options)}`);
  }
  const { keep = false, ...openOptions } = guarded('options', () => ({ ...options }));
  const wanted = flag(keep);
  if (wanted) throw invalidArgument(`options: keep must be ${wanted}, not ${describe(keep)}`);
  const name = `test-${crypto.randomUUID()}`;
  const inMemory = openOptions.storage === 'memory';
  if (inMemory) inMemoryNames.add(name);
  const handles: Promise<Database>[] = [];
  const open = (more: OpenOptions = {}): Promise<Database> => {
    if (inMemory && handles.length > 0) {
      throw invalidArgument('a database in memory has one handle only');
    }
    const handle = openTest(name, { ...openOptions, ...more });
    handles.push(handle);
    return handle;
  };
  let went: { value: T } | undefined;
  try {
    const db = await open();
    went = { value: await fn(db, { open: async (more) => open(more) }) };
    return went.value;
  } finally {
    const opened = await Promise.allSettled(handles);
    await Promise.all(opened.map((handle) => handle.status === 'fulfilled' && handle.value.close()));
    inMemoryNames.delete(name);
    if (!inMemory && !keep) {
      const removed = remove(name, openOptions);
      // The test's own error is the one to hear of.
      await (went ? removed : removed.catch(() => {}));
    }
  }
}

/** Removes a database; the locks of workers that were ended a moment ago may still be there. */
async function remove(name: string, { workerUrl: _, ...assets }: AssetOptions): Promise<void> {
  const end = performance.now() + REMOVE_MS;
  const only: AssetOptions = assets.wasmUrl === undefined ? {} : { wasmUrl: assets.wasmUrl };
  for (;;) {
    try {
      return await deleteDatabase(name, only);
    } catch (error) {
      if (!(error instanceof FramelockError && error.code === 'BUSY')) throw error;
      if (performance.now() > end) {
        const message = `the test left a handle on ${name} open, so the database cannot be removed`;
        throw new FramelockError('BUSY', message, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, REMOVE_AGAIN_MS));
    }
  }
}

/**
 * Another writer with an open transaction on the database `name`, as if in another tab: your own code then meets a
 * locked database. Resolves once the lock is held, with the function that gives it up again and leaves nothing written.
 *
 * Throws as `openDatabase` does, `BUSY` when somebody else holds the lock for 15 seconds, and `INVALID_ARGUMENT` for a test
 * database in memory, which no other writer can have open.
 *
 * @example
 * const release = await holdWriteLock(db.name);
 * const receipt = await db.appendFrame('ticks', frame); // 'queued'
 * await release();
 * await db.whenCommitted(receipt.frameId);
 */
export async function holdWriteLock(name: string, options?: AssetOptions): Promise<() => Promise<void>> {
  if (inMemoryNames.has(name))
    throw invalidArgument(`"${name}" is in memory, where there is no second writer`);
  const holder = await openDatabase(name, options);
  let opened = () => {};
  let end = () => {};
  const open = new Promise<void>((resolve) => (opened = resolve));
  const ended = new Promise<void>((resolve) => (end = resolve));
  const transaction = holder.transaction(() => {
    opened();
    return ended;
  });
  try {
    await Promise.race([open, transaction]);
  } catch (error) {
    await holder.close();
    throw error;
  }
  let released: Promise<void> | undefined;
  return () => {
    end();
    released ??= transaction.finally(() => holder.close());
    return released;
  };
}

const FAULT: Record<keyof Fault, Check> = { after: integer(0), times: timesCheck };
const FILE_FAULT: Record<keyof FileFault, Check> = {
  ...FAULT,
  call: oneOf('open', 'read', 'write', 'truncate', 'flush', 'move', 'remove'),
  file: oneOf('database', 'journal', 'queue'),
  error: oneOf('io', 'quota', 'lost', 'inUse'),
};
const PLAN: Record<keyof FaultPlan, Check> = {
  files: () => undefined,
  messages: () => undefined,
  locks: () => undefined,
};

/** A count, or all of them. */
function timesCheck(value: unknown): string | undefined {
  return value === Infinity ? undefined : integer(1)(value) && 'an integer of at least 1, or Infinity';
}

/** A copy of a plan, looked through. */
function checkedPlan(given: unknown): FaultPlan {
  const { files, messages, locks } = ownOptions<FaultPlan>('the plan', given, PLAN);
  const plan: FaultPlan = {};
  if (files !== undefined) plan.files = { ...ownOptions<FileFault>('files', files, FILE_FAULT) };
  if (messages !== undefined) plan.messages = { ...ownOptions<Fault>('messages', messages, FAULT) };
  if (locks !== undefined) plan.locks = { ...ownOptions<Fault>('locks', locks, FAULT) };
  return plan;
}

/**
 * Makes the next file calls, messages or locks of one handle fail, in place of what was to fail before. `db` must come
 * from {@link withTestDatabase}. Resolves when the plan is in force, with the function that ends it, which resolves with
 * how many calls it made fail.
 *
 * @example
 * const end = await faults(db, { files: { call: 'write', error: 'quota', times: Infinity } });
 * await expect(db.appendFrame('ticks', frame)).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
 * console.log((await end()).files); // 2 or more: a write that fails once is tried in another way
 */
export async function faults(db: Database, plan: FaultPlan): Promise<() => Promise<FaultCounts>> {
  const test = workers.get(db);
  if (!test) throw invalidArgument('faults needs a database of withTestDatabase');
  const checked = checkedPlan(plan);
  if (!test.canFail || test.last === undefined) {
    throw invalidArgument('faults are for databases in OPFS, with the engine in a worker of its own');
  }
  // Says at once when the handle is closed.
  await db.status();
  const worker = test.last;
  await send(worker, checked);
  return () => send(worker, {});
}

let lastId = 0;

/** Puts a plan in force; gives the counts of the one before it. */
function send(worker: EnginePort, plan: FaultPlan): Promise<FaultCounts> {
  const id = ++lastId;
  return new Promise((resolve, reject) => {
    const settle = () => {
      stop();
      worker.removeEventListener('message', receive);
    };
    const stop = guard(ANSWER_MS, () => {
      settle();
      reject(new FramelockError('CLOSED', 'the handle whose calls were to fail is closed'));
    });
    const receive = ({ data }: MessageEvent<PlanReply>) => {
      if (data.kind !== 'faults' || data.id !== id) return;
      settle();
      resolve(data.counts);
    };
    worker.addEventListener('message', receive);
    worker.postMessage({ kind: 'faults', id, plan } satisfies PlanMessage);
  });
}
