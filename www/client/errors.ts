// The one error class of the package and its table of codes. Errors cross from the worker as plain objects
// (WireError) and become FramelockError here and nowhere else.

/** One tried attempt of an append, in a receipt or in a `BUSY` error. */
export interface Attempt {
  /** Which step of the ladder was tried. */
  path: 'direct' | 'handoff';
  /** `busy`: the lock stayed taken; `unreachable`: no holder answered; `refused`: it answered with an error. */
  outcome: 'committed' | 'busy' | 'unreachable' | 'refused';
  /** How long this attempt waited for the lock or for an answer, in milliseconds. */
  waitedMs: number;
  /** The error's message, when the attempt met one. */
  error?: string;
}

/**
 * The stable error codes. Except with `WORKER_FAILED` and `STORAGE_LOST`, nothing of the failed call was written; of
 * several statements in one `exec`, those before the failing one were.
 *
 * - `BUSY`: the lock stayed taken through every attempt. Safe to call again.
 * - `TIMEOUT`: the deadline passed before the call was carried out.
 * - `ABORTED`: the caller's `signal` fired first; the signal's reason is the error's `cause`.
 * - `INVALID_ARGUMENT`: a name, option or value of the wrong kind.
 * - `INVALID_FRAME`: malformed Arrow data, columns of unequal length, or column names that collide.
 * - `UNSUPPORTED_TYPE`: an Arrow type that is not stored.
 * - `LOSSY_VALUE`: a value that cannot be kept exactly; `row` and `column` say where.
 * - `SCHEMA_MISMATCH`: the table or its types do not agree with the frame.
 * - `CONSTRAINT`: SQLite refused a row; the whole frame was rolled back.
 * - `FRAME_ID_CONFLICT`: the `frameId` is known with other content.
 * - `SQL`: any other SQL error; the statement was rolled back.
 * - `QUOTA_EXCEEDED`: the origin's storage is full; works again once space is freed.
 * - `STORAGE_UNAVAILABLE`: no OPFS here (private mode, insecure context, old browser).
 * - `STORAGE_LOST`: the file vanished under an open handle, which is unusable from then on.
 * - `CORRUPT`: the file is damaged; it was left as it is.
 * - `NOT_A_DATABASE`: the bytes are not SQLite; they were left as they are.
 * - `PROTOCOL_VERSION`: a tab with an incompatible framelock version holds the database.
 * - `WORKER_FAILED`: the worker or the wasm did not load, died (out of memory, say), or did not answer. A frame in flight
 *   may or may not have been written: append it again with the same `frameId`: it is applied at most once. Where the
 *   worker died, the next call on the handle starts another one; only a database in memory is gone with its worker.
 * - `CLOSED`: the handle was closed, or the transaction is over.
 */
export type ErrorCode =
  | 'BUSY'
  | 'TIMEOUT'
  | 'ABORTED'
  | 'INVALID_ARGUMENT'
  | 'INVALID_FRAME'
  | 'UNSUPPORTED_TYPE'
  | 'LOSSY_VALUE'
  | 'SCHEMA_MISMATCH'
  | 'CONSTRAINT'
  | 'FRAME_ID_CONFLICT'
  | 'SQL'
  | 'QUOTA_EXCEEDED'
  | 'STORAGE_UNAVAILABLE'
  | 'STORAGE_LOST'
  | 'CORRUPT'
  | 'NOT_A_DATABASE'
  | 'PROTOCOL_VERSION'
  | 'WORKER_FAILED'
  | 'CLOSED';

/** What an error may say beside its code and message. */
export interface ErrorDetails {
  /** The table concerned. */
  table?: string;
  /** The column concerned. */
  column?: string;
  /** The row of the frame concerned, counted from 0. */
  row?: number;
  /** SQLite's extended result code, when SQLite spoke. */
  sqliteCode?: number;
  /** What the append tried before it gave up. */
  attempts?: Attempt[];
}

/** An error as it crosses from the worker. */
export interface WireError extends ErrorDetails {
  code: ErrorCode;
  message: string;
}

/**
 * Every error that framelock throws. `code` is stable. `message` is for people, and begins with the table, column and
 * row concerned.
 *
 * @example
 * try {
 *   await db.appendFrame('ticks', frame, { fallback: 'none' });
 * } catch (error) {
 *   if (error instanceof FramelockError && error.code === 'BUSY') console.log(error.attempts);
 *   else throw error;
 * }
 */
export class FramelockError extends Error implements ErrorDetails {
  override readonly name = 'FramelockError';
  /** The stable cause. */
  readonly code: ErrorCode;
  /** What was tried, for an append that met a taken lock. */
  declare readonly attempts?: Attempt[];
  /** The column concerned. */
  declare readonly column?: string;
  /** The row of the frame concerned, counted from 0. */
  declare readonly row?: number;
  /** The table concerned. */
  declare readonly table?: string;
  /** SQLite's extended result code, when SQLite spoke. */
  declare readonly sqliteCode?: number;

  constructor(code: ErrorCode, message: string, details: ErrorDetails & ErrorOptions = {}) {
    super(located(message, details), Object.hasOwn(details, 'cause') ? { cause: details.cause } : undefined);
    this.code = code;
    for (const key of ['attempts', 'column', 'row', 'table', 'sqliteCode'] as const) {
      if (Object.hasOwn(details, key))
        Object.defineProperty(this, key, { value: details[key], enumerable: true });
    }
  }
}

/** The message behind the place that it is about: an error that nobody catches shows nothing else. */
function located(message: string, { table, column, row }: ErrorDetails): string {
  const names = Object.entries({ table, column }).filter(([, name]) => name !== undefined);
  const place = names.map(([kind, name]) => `${kind} ${JSON.stringify(name)}`);
  if (row !== undefined) place.push(`row ${row}`);
  return place.length === 0 ? message : `${place.join(', ')}: ${message}`;
}

/** The error that a worker's plain error object stands for. */
export function fromWire(wire: WireError, cause?: unknown): FramelockError {
  const details: ErrorDetails & ErrorOptions = { ...wire };
  if (cause !== undefined) details.cause = cause;
  return new FramelockError(wire.code, wire.message, details);
}

/** Refuses an argument. `what` names it and says what it should have been. */
export function invalidArgument(what: string, details?: ErrorDetails & ErrorOptions): FramelockError {
  return new FramelockError('INVALID_ARGUMENT', what, details);
}

/** Runs `check`; an error of it that names no table is about `table`. */
export function aboutTable<T>(table: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof FramelockError && error.table === undefined) {
      const { column, row } = error;
      const separator = column === undefined && row === undefined ? ': ' : ', ';
      error.message = `table ${JSON.stringify(table)}${separator}${error.message}`;
      Object.defineProperty(error, 'table', { value: table, enumerable: true });
    }
    throw error;
  }
}
