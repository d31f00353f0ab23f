// The whole protocol between a handle on the page and its worker, as two unions. The worker's side of it is
// written in Rust (src/api.rs); a change here is a change there.
//
// Binary data travels in `buffers` (page → worker) or inside `value` (worker → page), always transferred.
import type { WireError } from './errors.js';
import type { DeadLetter } from './forward-types.js';
import type { AppendReceipt, DatabaseEvents, ExecResult, RetryPolicy, Status } from './types.js';

/** A bound value after the page has checked it: Dates are milliseconds as bigint by now. */
export type WireValue = null | number | bigint | boolean | string | Uint8Array;

/** Bound values: in order, or by name without the sign. */
export type WireParams = WireValue[] | Record<string, WireValue>;

/** How a frame's rows are laid out in `buffers`; `raw` and `packed` are described by a JSON `descriptor`. */
export type FrameForm = 'ipc' | 'raw' | 'packed';

/** The options of an append that the engine reads: all but the signal and the progress callback. */
export type WireAppendOptions = Record<string, unknown>;

/** The arguments of reads. `tx` names an open transaction to read inside. */
export interface QueryArgs {
  sql: string;
  params: WireParams;
  int64?: 'bigint' | 'number';
  dates?: boolean;
  timeoutMs?: number;
  tx?: number;
}

/** The typed arrays that columns come as. */
export type ArrayName =
  | 'Int8Array'
  | 'Int16Array'
  | 'Int32Array'
  | 'Uint8Array'
  | 'Uint16Array'
  | 'Uint32Array'
  | 'Float32Array'
  | 'Float64Array'
  | 'BigInt64Array'
  | 'BigUint64Array';

/** One column of a query's answer; `rows.ts` says how it is read. */
export interface PackedColumn {
  name: string;
  /** The array that the column's type has in JavaScript, by its constructor's name. */
  array?: ArrayName;
  /** The tag of every row, when they all have the same one. */
  tag?: number;
  /** Else the tag of each row. */
  tags?: Uint8Array;
  numbers?: Float64Array;
  bigints?: BigInt64Array;
  /** UTF-8 of all texts, one after the other. */
  text?: Uint8Array;
  /** Where each text ends, in UTF-16 code units of the decoded whole. */
  textEnds?: Uint32Array;
  /** All blobs, one after the other. */
  blobs?: Uint8Array;
  /** Where each blob ends, in bytes. */
  blobEnds?: Uint32Array;
}

/** Every operation of a handle: its arguments, and the value of its reply. */
export interface Operations {
  append: {
    args: {
      table: string;
      options: WireAppendOptions;
      tx?: number;
      form: FrameForm;
      descriptor?: string;
      /** Whether progress messages are wanted. */
      progress: boolean;
      /** Whether the page wants to hear when it begins. */
      tell: boolean;
      /** When the call was made, on the clock that pages and workers share: its deadline counts from there. */
      calledAt: number;
    };
    value: AppendReceipt;
  };
  exec: { args: { sql: string; params: WireParams; timeoutMs?: number; tx?: number }; value: ExecResult };
  query: { args: QueryArgs; value: { rows: number; columns: PackedColumn[] } };
  queryArrow: { args: QueryArgs; value: Uint8Array<ArrayBuffer> };
  streamOpen: { args: QueryArgs & { batchRows?: number }; value: { cursor: number } };
  /** One batch as an Arrow IPC stream; null after the last one, which also closes the cursor. */
  streamNext: { args: { cursor: number }; value: Uint8Array<ArrayBuffer> | null };
  streamClose: { args: { cursor: number }; value: undefined };
  begin: { args: { retry?: RetryPolicy; timeoutMs?: number }; value: { tx: number } };
  commit: { args: { tx: number }; value: undefined };
  rollback: { args: { tx: number }; value: undefined };
  status: { args: Record<string, never>; value: Status };
  export: { args: Record<string, never>; value: Uint8Array<ArrayBuffer> };
  exportBlob: { args: Record<string, never>; value: Blob };
  /** The new file's bytes are the one buffer. */
  import: { args: Record<string, never>; value: undefined };
  drain: { args: Record<string, never>; value: { applied: number; rejected: number; remaining: number } };
  whenCommitted: { args: { frameId: string }; value: AppendReceipt };
  rejected: {
    args: Record<string, never>;
    value: { frameId: string; table: string; rows: number; error: WireError }[];
  };
  retryRejected: { args: { frameId: string }; value: undefined };
  discardRejected: { args: { frameId: string }; value: undefined };
  /** `letter` names the dead letter to retry or discard; the list is the answer to `deadLetters`. */
  forwarding: {
    args: {
      what: 'pause' | 'resume' | 'restart' | 'deadLetters' | 'retry' | 'discard';
      letter?: number;
    };
    value: DeadLetter[] | undefined;
  };
  close: { args: Record<string, never>; value: undefined };
}

/** The name of an operation. */
export type Op = keyof Operations;

/** What the page does with itself, told to the engine so that it never keeps the lock in a page that sleeps. */
export type LifecycleState = 'visible' | 'hidden' | 'freeze' | 'resume' | 'pagehide' | 'online';

/** Where the engine comes from: compiled already, or an address, or the file beside the worker's script. */
interface Engine {
  module?: WebAssembly.Module;
  wasmUrl?: string;
}

/** The first message of a worker says what it is for. */
export type StartMessage = Engine &
  (
    | {
        kind: 'open';
        name: string;
        /** No handle of this page has used the engine: it is warmed up. */
        isFirst?: boolean;
        options: {
          storage: 'opfs' | 'memory';
          durability: 'full' | 'relaxed';
          /** The file was there before: without it the storage is lost. */
          mustExist?: boolean;
          /** Where frames are forwarded to; tables whose frames always are; what is kept how long. */
          forward?: { url: string; hasToken: boolean; tables: string[]; keepMs?: number; keepBytes?: number };
        };
      }
    | { kind: 'list' }
    | { kind: 'delete'; name: string }
  );

/** A call; `id` names it in the reply, in progress and in a cancellation. */
export type CallMessage = {
  [O in Op]: { kind: 'call'; id: number; op: O; args: Operations[O]['args']; buffers: Uint8Array[] };
}[Op];

/** Page → worker. */
export type PageMessage =
  | StartMessage
  | CallMessage
  | { kind: 'cancel'; id: number }
  /** Asks the worker itself, and not the engine, whether it lives. */
  | { kind: 'ping' }
  | { kind: 'lifecycle'; state: LifecycleState }
  /** From now on somebody listens to this event; before, it is not sent. */
  | { kind: 'listen'; event: EventMessage['event'] }
  /** The answer to the worker's `token` of this id; without one there is none to be had now. */
  | { kind: 'token'; id: number; token: string | undefined };

/** An event of the engine. `append` is not among them: the page raises it from the receipts it is given. */
export type EventMessage = {
  [E in Exclude<keyof DatabaseEvents, 'append'>]: { kind: 'event'; event: E; detail: DatabaseEvents[E] };
}[Exclude<keyof DatabaseEvents, 'append'>];

/** Worker → page. `failed` ends the worker: it could not start, or it met an error that nothing caught. */
export type WorkerMessage =
  /** `alive` names a lock that the worker holds as long as it lives. */
  | { kind: 'opened'; alive?: string }
  | { kind: 'pong' }
  | { kind: 'failed'; error: WireError }
  | { kind: 'done'; value: unknown }
  | { kind: 'reply'; id: number; value: unknown }
  | { kind: 'error'; id: number; error: WireError }
  /** An append with `tell` is about to be written, offered or queued. After its deadline this is said no more. */
  | { kind: 'taken'; id: number }
  | { kind: 'progress'; id: number; rows: number; totalRows: number }
  /** Forwarding needs a token; `refresh`: the server refused the last one. */
  | { kind: 'token'; id: number; refresh: boolean }
  | EventMessage;
