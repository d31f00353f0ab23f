// The public types: what a caller passes and what comes back. Types only, no code; each default and unit is said
// where the field is declared.
import type { Attempt, FramelockError } from './errors.js';
import type { ForwardEvent, Forwarding, ForwardingStatus, ForwardOptions } from './forward-types.js';
import type { ColumnName, NotAPromise, TypedFrame } from './typed.js';

/** A handle on a database, with a worker of its own. */
export interface Database extends Statements {
  /** The name it was opened by. */
  readonly name: string;
  /**
   * Controls forwarding: pauses it, resumes it, settles dead letters.
   *
   * @example
   * for (const { id, code, column } of await db.forwarding.deadLetters()) console.warn(id, code, column);
   */
  readonly forwarding: Forwarding;
  /**
   * The rows of a SELECT in batches, each an Arrow IPC stream of its own with the same schema. The query runs to its
   * end before the first batch comes, so that nobody waits for the lock while the loop runs. Batches that were not asked
   * for yet are in the worker's memory; leaving the loop early frees them.
   *
   * @example
   * for await (const bytes of db.stream('SELECT * FROM ticks')) show(tableFromIPC(bytes));
   */
  stream(sql: string, params?: Params, options?: StreamOptions): AsyncIterable<Uint8Array<ArrayBuffer>>;
  /**
   * Runs `fn` inside one write transaction. Commits when its promise resolves. Rolls back when it rejects, and then
   * rejects with the same reason. Throws `BUSY` when the lock stays taken, and `CLOSED` when the handle is closed before
   * the transaction ends.
   *
   * Inside `fn` use `tx`. `tx.appendFrame` joins the transaction; `db.appendFrame` is another writer, whose frame is
   * queued. `db.exec` and the reads of `db` would wait for the very transaction that they are in, until `BUSY`.
   *
   * @example
   * await db.transaction(async (tx) => {
   *   await tx.exec('DELETE FROM ticks');
   *   await tx.appendFrame('ticks', frame);
   * });
   */
  transaction<T>(fn: (tx: Transaction) => Promise<T> | T, options?: TransactionOptions): Promise<T>;
  /**
   * Resolves when a queued frame was applied; rejects when the database refused it.
   *
   * @example
   * if (!receipt.committed) await db.whenCommitted(receipt.frameId);
   */
  whenCommitted(frameId: string, options?: { signal?: AbortSignal | undefined }): Promise<AppendReceipt>;
  /**
   * Applies the durable queue now. `applied`: frames that were taken from the queue and applied since the call.
   * `rejected`: frames on the rejected list, also those that were there before. `remaining`: frames that could not be
   * applied yet. `BUSY` after 15 s in which the lock stays taken and the queue gets no shorter.
   *
   * @example
   * const { applied, rejected, remaining } = await db.drain();
   */
  drain(options?: {
    signal?: AbortSignal | undefined;
  }): Promise<{ applied: number; rejected: number; remaining: number }>;
  /**
   * The queued frames that the database refused, oldest first. They stay until you retry or discard them.
   *
   * @example
   * for (const { frameId, error } of await db.rejected()) console.warn(frameId, error.code);
   */
  rejected(): Promise<RejectedFrame[]>;
  /**
   * Puts a rejected frame back into the queue, once its cause is gone. `whenCommitted` tells the outcome.
   *
   * @example
   * await db.retryRejected(frameId);
   */
  retryRejected(frameId: string): Promise<void>;
  /**
   * Removes a rejected frame for good. Its rows are gone.
   *
   * @example
   * await db.discardRejected(frameId);
   */
  discardRejected(frameId: string): Promise<void>;
  /**
   * The state of the handle. It never waits for the lock.
   *
   * @example
   * const { holder, queued } = await db.status();
   */
  status(): Promise<Status>;
  /**
   * Listens to an event. Returns a function that stops listening. What a listener throws is reported as an uncaught
   * error, and stops nothing. A handle whose worker died (`WORKER_FAILED`) hears of no commits until another one has taken
   * its place, at once or after some seconds; `live` then runs again by itself.
   *
   * @example
   * const off = db.on('commit', ({ tables, origin }) => refresh(tables, origin));
   */
  on<E extends keyof DatabaseEvents>(event: E, listener: (detail: DatabaseEvents[E]) => void): () => void;
  /**
   * The bytes of a standard SQLite file, in one array. Other tabs can write again once all of it is read. For a large
   * file see {@link Database.exportBlob}.
   *
   * @example
   * const bytes = await db.exportFile();
   */
  exportFile(): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * The same as a Blob, which the browser may keep on disk: no array of the file's size is made. It is a snapshot; the
   * lock is released before you get it, so take as long with it as you like.
   *
   * @example
   * link.href = URL.createObjectURL(await db.exportBlob()); // a download
   * await fetch('/backup', { method: 'PUT', body: await db.exportBlob() }); // or an upload
   */
  exportBlob(): Promise<Blob>;
  /**
   * Replaces the whole database by a SQLite file, or leaves it as it was: `NOT_A_DATABASE` and `CORRUPT` change
   * nothing. The file is checked first, and copied page by page. Its text must be UTF-8, which is what SQLite writes by
   * default; `INVALID_ARGUMENT` where it is UTF-16.
   *
   * @example
   * await db.importFile(input.files[0]);
   */
  importFile(bytes: Uint8Array | ArrayBuffer | Blob): Promise<void>;
  /**
   * Releases the lock and ends the worker. Calls under way are carried out; after 5 s the worker is ended all the same, and
   * those that were not done throw `WORKER_FAILED`. Those that wait for a lock that another writer keeps, and later ones,
   * throw `CLOSED`. Closing twice is harmless.
   *
   * @example
   * await db.close();
   */
  close(): Promise<void>;
}

/** What both a database and an open transaction can do. */
export interface Statements {
  /**
   * Writes all rows of a frame, or none, in one transaction. `retry` and `fallback` say what happens when the lock is
   * taken. Throws, among others, `BUSY`, `TIMEOUT`, `INVALID_FRAME`, `SCHEMA_MISMATCH` and `CONSTRAINT`.
   *
   * @example
   * const receipt = await db.appendFrame('ticks', tableToIPC(table));
   * console.log(receipt.path, receipt.attempts.length);
   */
  appendFrame(table: string, frame: FrameInput, options?: AppendOptions): Promise<AppendReceipt>;
  /**
   * The same with a row type. Rows, columns, `key` and `types` are checked against it at compile time, and `query` can
   * return it: one interface for both.
   *
   * @example
   * interface Tick { sym: string; qty: bigint; note: string | null }
   * await db.appendFrame<Tick>('ticks', [{ sym: 'A', qty: 1 }], { types: { qty: 'int64' } });
   * const ticks = await db.query<Tick>('SELECT sym, qty, note FROM ticks');
   */
  appendFrame<Row extends object>(
    table: string,
    frame: TypedFrame<Row>,
    options?: AppendOptions<Row>,
  ): Promise<AppendReceipt>;
  /**
   * Runs one or more SQL statements; with parameters, exactly one. Several are not one transaction: if one fails, those
   * before it stay. Throws `SQL`, `CONSTRAINT`, `BUSY`.
   *
   * @example
   * await db.exec('DELETE FROM ticks WHERE day < ?', [20000]);
   */
  exec(sql: string, params?: Params, options?: StatementOptions): Promise<ExecResult>;
  /**
   * The rows of one statement as plain objects. If two result columns have the same name, the last one wins. Columns
   * that were stored as int64 or uint64 come back as `bigint` (see {@link QueryOptions}). Integers of expressions come
   * back as numbers, or as `bigint` where a number would not be exact.
   *
   * @example
   * const rows = await db.query('SELECT sym, qty FROM ticks WHERE qty > :min', { min: 10 });
   */
  query<Row = Record<string, unknown>>(sql: string, params?: Params, options?: QueryOptions): Promise<Row[]>;
  /**
   * The same, as one array per column; see {@link Column}.
   *
   * @example
   * const { qty } = await db.queryColumns<{ qty: BigInt64Array }>('SELECT qty FROM ticks');
   */
  queryColumns<Columns extends { [Name in keyof Columns]: Column } = Record<string, Column>>(
    sql: string,
    params?: Params,
    options?: QueryOptions,
  ): Promise<Columns>;
  /**
   * The same, as an Arrow IPC stream with the types that were written.
   *
   * @example
   * const table = tableFromIPC(await db.queryArrow('SELECT * FROM ticks'));
   */
  queryArrow(sql: string, params?: Params, options?: QueryOptions): Promise<Uint8Array<ArrayBuffer>>;
}

/** An open transaction. After it ended every method throws `CLOSED`. */
export type Transaction = Statements;

/** A value that can be bound to a SQL parameter. A `Date` is bound as milliseconds since the epoch. */
export type SqlValue = null | number | bigint | boolean | string | Uint8Array | ArrayBuffer | Date;

/** SQL parameters: an array for `?`, an object for `:name`, `@name` and `$name` (keys without the sign). */
export type Params = readonly SqlValue[] | { readonly [name: string]: SqlValue };

/**
 * The name of an Arrow type. Editors propose the common ones; any other, such as `decimal128(38, 9)`, `list<int64>` or
 * `timestamp[us, Europe/Paris]`, is checked when the frame is written. `iso8601` stores dates, times and timestamps as
 * text.
 */
export type ArrowTypeName =
  | `${'int' | 'uint'}${8 | 16 | 32 | 64}`
  | 'float32'
  | 'float64'
  | 'bool'
  | 'utf8'
  | 'binary'
  | 'date32'
  | 'iso8601'
  | `timestamp[${'s' | 'ms' | 'us' | 'ns'}${'' | ', UTC'}]`
  | (string & {});

/**
 * A table's worth of rows: Arrow IPC bytes (stream or file format, also compressed), an Arrow table object of any library,
 * `{ column: TypedArray | Array }`, or an array of row objects. It is copied at the call: changing it afterwards has no
 * effect. A promise is not a frame: await it first.
 */
export type FrameInput =
  Uint8Array | ArrayBuffer | (object & NotAPromise) | (NotAPromise & { readonly [column: string]: unknown });

/** What an append does about a lock that another writer holds. Every field is optional. */
export interface RetryPolicy {
  /** Direct attempts before the fallback. Default 3; 0 goes straight to the fallback. */
  attempts?: number | undefined;
  /**
   * How long one attempt waits for the write lock, in milliseconds. At least 25, because even a free lock takes time to
   * get. Default 200.
   */
  lockTimeoutMs?: number | undefined;
  /** The delay before the second attempt, in milliseconds, before jitter. Default 50. */
  baseDelayMs?: number | undefined;
  /** What each further delay is multiplied by. Default 2. */
  factor?: number | undefined;
  /** The longest delay, in milliseconds. Default 1000. */
  maxDelayMs?: number | undefined;
  /** Full jitter: the delay is random between 0 and the computed one. Default true. */
  jitter?: boolean | undefined;
  /**
   * The deadline of the whole call, in milliseconds. By then the call settles, whatever happens. A frame that is still
   * being written directly is rolled back, so give large frames more time. One that stands behind a long statement of its
   * own handle is not written. Default 15000.
   */
  deadlineMs?: number | undefined;
}

/**
 * What to do when the lock stays taken: `handoff` asks its holder, and then queues; `queue` goes straight to the durable
 * queue; `none` throws `BUSY`.
 */
export type Fallback = 'handoff' | 'queue' | 'none';

/** Where the package's files are, if a bundler or a CDN moved them. */
export interface AssetOptions {
  /** The worker script. Default: `worker.js` beside this module. */
  workerUrl?: string | URL | undefined;
  /** The WebAssembly file. Default: `framelock_wasm_bg.wasm` beside the worker. */
  wasmUrl?: string | URL | undefined;
  /** Where the engine runs. Default: in a dedicated worker of its own. `here` of `framelock/here` runs it in yours. */
  engine?: EngineHost | undefined;
}

declare const engineHost: unique symbol;

/** A place for the engine to run in, other than a worker of its own. */
export interface EngineHost {
  readonly [engineHost]: true;
}

/** Options of {@link openDatabase}. */
export interface OpenOptions extends AssetOptions {
  /**
   * Default `opfs`. Without OPFS opening throws `STORAGE_UNAVAILABLE`; it never falls back to memory by itself. A
   * database in `memory` belongs to this handle alone, and ends with it.
   */
  storage?: 'opfs' | 'memory' | undefined;
  /** `full` (default): a write that has resolved was flushed. `relaxed`: it survives a tab's crash, but not a power cut. */
  durability?: 'full' | 'relaxed' | undefined;
  /**
   * `auto` (default): calls `navigator.storage.persist()` once per page, after the first write that follows an action of
   * the visitor. Chromium decides by itself, Firefox asks the visitor. `never`: framelock does not call it.
   */
  persist?: 'auto' | 'never' | undefined;
  /** Defaults for this handle's appends, field by field. */
  retry?: RetryPolicy | undefined;
  /** The default fallback of this handle's appends. Default `handoff`. */
  fallback?: Fallback | undefined;
  /** Where committed frames are forwarded to. Default: this handle forwards nothing. */
  forward?: ForwardOptions | undefined;
}

/** Options of `appendFrame`. An option that is `undefined` counts as not given. `Row` names the frame's columns. */
export interface AppendOptions<Row = Record<string, unknown>> {
  /**
   * `create`: the table must not exist. `append`: it must exist. `createAppend` (default): it is made if it is missing.
   * `replace`: drops it first. `deleteRows`: empties it first. `upsert`: updates a row whose key exists. `ignore`: leaves
   * such a row as it is.
   */
  mode?: 'create' | 'append' | 'createAppend' | 'replace' | 'deleteRows' | 'upsert' | 'ignore' | undefined;
  /**
   * The columns that identify a row, for `upsert` and `ignore`. Default: the table's primary key. A table that
   * `appendFrame` made, or that took the types of a frame while it was empty, gets a unique index on them if it has none.
   * Any other table made by SQL must have one.
   */
  key?: readonly ColumnName<Row>[] | undefined;
  /** How the frame's columns are matched with the table's. Default `name`. */
  match?: 'name' | 'position' | undefined;
  /** A column that the table lacks: refuse the frame (default), leave it out, or add it to the table. */
  extraColumns?: 'error' | 'drop' | 'add' | undefined;
  /**
   * A column that the frame lacks: refuse the frame (`error`), or use the column's DEFAULT, else NULL (`default`, the
   * default). In `upsert` a row that exists keeps its value.
   */
  missingColumns?: 'error' | 'default' | undefined;
  /** The Arrow types of columns. Default: the table's, else the frame's own, or what its values suggest. */
  types?: { readonly [Column in ColumnName<Row>]?: ArrowTypeName | undefined } | undefined;
  /**
   * A value that cannot be kept exactly. `error` (default): refuse the frame. `warn` and `allow`: store the nearest value
   * and count it in the receipt; today there is no difference between the two.
   */
  lossy?: 'error' | 'warn' | 'allow' | undefined;
  /**
   * Idempotency key of 1 to 128 characters: a frame is applied at most once. Default: a fresh UUID. Two frames are the
   * same if they have the same table and the same rows in the same form; rows given once as objects and once as Arrow are
   * two frames. Options do not count.
   */
  frameId?: string | undefined;
  /** What to do about a taken lock. Fields that are not given come from the handle, then from the defaults. */
  retry?: RetryPolicy | undefined;
  /** What to do when the lock stays taken. Default: the handle's. */
  fallback?: Fallback | undefined;
  /**
   * Whether the frame is forwarded: it is put into the outbox in the transaction of its rows. Default: whether the
   * handle's `forward.tables` names the table. Only for the modes `create`, `append` and `createAppend`.
   */
  forward?: boolean | undefined;
  /**
   * When it fires, a frame that waits, or that this tab is writing directly, ends with `ABORTED`, and nothing of it is
   * written. A frame that was handed to another tab or is in the queue is not called back. One that joins a transaction is
   * not stopped while it is written.
   */
  signal?: AbortSignal | undefined;
  /** Called at most about ten times a second while rows are written. */
  onProgress?: ((progress: { rows: number; totalRows: number }) => void) | undefined;
}

/** What became of a frame. */
export interface AppendReceipt {
  /** The frame's id: the given one, or a fresh UUID. */
  frameId: string;
  table: string;
  /** Rows in the frame. */
  rows: number;
  /** The step of the ladder that took the frame. `duplicate`: this `frameId` was applied before. */
  path: 'direct' | 'handoff' | 'queued' | 'joined' | 'duplicate';
  /** False only for `queued` (durable, but not applied yet) and `joined` (its transaction is still open). */
  committed: boolean;
  /** Every attempt to write it, in order. */
  attempts: Attempt[];
  /** From the call to the receipt, in milliseconds. */
  elapsedMs: number;
  /** Column → how many values were changed on the way in. Empty unless `lossy` is `warn` or `allow`. */
  coerced: Record<string, number>;
}

/** Options of statements that are not appends. */
export interface StatementOptions {
  /** How long to wait for the lock, in milliseconds, before `BUSY`; 25 at least. Default 15000. */
  timeoutMs?: number | undefined;
  /** When it fires before the statement ran: throws `ABORTED`. */
  signal?: AbortSignal | undefined;
}

/** Options of reads. */
export interface QueryOptions extends StatementOptions {
  /** How int64 and uint64 columns come back. Default `bigint`. `number` throws on a value beyond 2^53 − 1, also in expressions. */
  int64?: 'bigint' | 'number' | undefined;
  /** True: timestamp and date columns come back as `Date`; a value outside the range of `Date` throws. Default false: as stored. */
  dates?: boolean | undefined;
}

/** Options of `stream`. */
export interface StreamOptions extends QueryOptions {
  /** Rows in one batch. Default 10000. */
  batchRows?: number | undefined;
}

/** Options of `transaction`. */
export interface TransactionOptions {
  /**
   * Waits for the lock no longer than the attempts of an append with this policy would. Fields that are not given come
   * from the handle. `attempts: 0` counts as no policy. Default: only `timeoutMs` counts.
   */
  retry?: RetryPolicy | undefined;
  /** How long to wait for the lock at most, in milliseconds, before `BUSY`; 25 at least. Default 15000. */
  timeoutMs?: number | undefined;
  /** When it fires before the commit was asked for: rolls back and throws `ABORTED`. */
  signal?: AbortSignal | undefined;
}

/**
 * One column of `queryColumns`, with the values that `query` gives.
 *
 * A typed array of the column's catalogue type: `Int8Array` to `Uint32Array`, `BigInt64Array` and `BigUint64Array` for
 * int64 and uint64 (`Float64Array` with `int64: 'number'`), `Float32Array` for float16 and float32, `Float64Array`
 * for float64, `Int32Array` for date32 and time32.
 *
 * Other dates and times, expressions, and columns into which plain SQL put values of another type: a `Float64Array` if
 * every value is a number, a `BigInt64Array` if every value is a bigint.
 *
 * Otherwise, and if there is a NULL, a plain array, with `null` for NULL. Without rows, an empty array of the catalogue
 * type, or a plain one.
 */
export type Column =
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array
  | unknown[];

/** What `exec` did. */
export interface ExecResult {
  /** Rows that all statements changed, without those that triggers changed. */
  changes: number;
  /** The rowid of the last inserted row; 0n when there was none. */
  lastInsertRowid: bigint;
}

/** A queued frame that the database refused. */
export interface RejectedFrame {
  frameId: string;
  table: string;
  rows: number;
  /** What a direct append of the frame would have thrown. */
  error: FramelockError;
}

/** The state of a handle. */
export interface Status {
  storage: 'opfs' | 'memory';
  /** Whether the browser promised not to evict this origin's storage. */
  persisted: boolean;
  lock: 'held' | 'waiting' | 'free';
  /** Who holds the write lock, or null. `this-tab` is this handle; another handle counts as another tab, wherever it is. */
  holder: 'this-tab' | 'other-tab' | null;
  /** Frames in the durable queue. */
  queued: number;
  /** Frames that the database refused after they were queued. */
  rejected: number;
  /** The size of the database file in bytes. */
  bytes: number;
  /** The paths of this handle's appends since it was opened. */
  counters: { direct: number; handoff: number; queued: number; duplicate: number; busy: number };
  versions: { framelock: string; sqlite: string; arrow: string };
  /** The state of forwarding; null for a handle that was opened without `forward`. */
  forwarding: ForwardingStatus | null;
}

/** The events of a handle and what each one carries. */
export interface DatabaseEvents {
  /**
   * A transaction was committed. `this-tab`: by this handle; another handle counts as another tab, wherever it is. A table
   * that was renamed is in `tables` by both names.
   */
  commit: { tables: string[]; frameIds: string[]; origin: 'this-tab' | 'other-tab' };
  /** The number of frames in the durable queue, or of refused ones, changed, whichever tab changed it. */
  queue: { queued: number; rejected: number };
  /** An append of this handle was given a receipt. */
  append: AppendReceipt;
  /**
   * This handle took the write lock, waits for it, or gave it up: `held` by `this-tab`, `waiting` or `free`. Whether another
   * one holds it then is not said, and `holder` is null; `status()` looks.
   */
  status: Pick<Status, 'lock' | 'holder'>;
  /** Forwarding made progress, failed or was paused. Only for handles that were opened with `forward`. */
  forward: ForwardEvent;
}

/** What a listener of an event is given. Without a type argument: the union of all events. */
export type EventDetail<E extends keyof DatabaseEvents = keyof DatabaseEvents> = DatabaseEvents[E];
