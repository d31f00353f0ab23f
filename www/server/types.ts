// What users of framelock/server name.
import type { WasmSource } from './wasm.js';

/** What a frame may do to the schema. `create` adds columns too. */
export type SchemaPolicy = 'strict' | 'addColumns' | 'create';

/** A table of the allow-list. */
export interface TableSettings {
  /** The table on the server. Default: the name that the browser uses. */
  into?: string | undefined;
  /** The schema (PostgreSQL) or database (ClickHouse) of that table. */
  namespace?: string | undefined;
  /** In place of the handler's policy. */
  schema?: SchemaPolicy | undefined;
}

/** A column that the server gives every row. */
export type Constant = string | number | boolean | null;

/** Who may write, and what is added to the rows. */
export interface Authorized {
  /** Whose stream this is. A stream belongs to the tenant that wrote its first frame, for ever. */
  tenant: string;
  /** Columns that the server adds to every row; a frame that has one of them itself is rejected. */
  constants?: Readonly<Record<string, Constant>> | undefined;
}

/** After either, the browser asks for a new token once. If that is refused too, it pauses. */
export type Refusal = 'UNAUTHENTICATED' | 'FORBIDDEN';

/** What a request is about. */
export interface Target {
  /** The id of the stream that it writes to, or asks about. */
  stream: string;
  /** The table of its frame; null when only the stream's state is asked for. */
  table: string | null;
}

/**
 * Looks at a request's token, before its body is read. A `Response` with 401 or 403 is a refusal, too; only its status
 * is used. If it throws, the answer is 503, which is no refusal.
 */
export type Authorize = (
  request: Request,
  target: Target,
) => Authorized | Refusal | Response | Promise<Authorized | Refusal | Response>;

/** What requests may cost; counted in one process. */
export interface Limits {
  /** The most bytes of a request's body, after gzip is undone. Default 8 MiB. */
  maxBodyBytes: number;
  /** The most rows of a request. Default 1,000,000. */
  maxRows: number;
  /** The most bytes that a frame may decompress to, and be written as. Default 128 MiB. */
  maxWrittenBytes: number;
  /** The most bytes of all frames that are decoded at once; more wait for their turn. Default 256 MiB. */
  maxDecodedBytes: number;
  /** How long a body may take to arrive, and a second more for every 16 KiB that have come. Default 30,000. */
  bodyTimeoutMs: number;
  /** How long the database may take. Default 30,000. */
  applyTimeoutMs: number;
  /** Requests at the database at once, of all tenants; four times as many bodies may be on their way. Default 16. */
  maxConcurrent: number;
  /** Requests of one tenant at the database at once, and bodies on their way. Default 8. */
  maxConcurrentPerTenant: number;
  /** Requests a second of one tenant, of which a second's worth may come at once. Default 200. */
  requestsPerSecond: number;
}

/** Options of `createFrameHandler`. */
export interface FrameHandlerOptions {
  /** Where rows go: `postgres(pool)`, `pglite(db)` or `clickhouse({ url })`. */
  engine: Engine;
  authorize: Authorize;
  /** The tables that may be written, by the names that browsers use. */
  tables: Readonly<Record<string, TableSettings>>;
  /** Default `strict`. */
  schema?: SchemaPolicy | undefined;
  limits?: Partial<Limits> | undefined;
  /** The origins whose pages may call. Default `*`: a bearer token is needed anyway, and cookies are not used. */
  origins?: '*' | readonly string[] | undefined;
  /** Told of every rejection (422): the browser puts such a frame aside for good. */
  onReject?: ((rejection: Rejection, about: Target) => void) | undefined;
  /** Told of every failure that is not the sender's. Default: `console.error`. */
  onError?: ((error: unknown, about: Target) => void) | undefined;
  /** The encoder's wasm, if it cannot be read from beside the script (some edge runtimes). */
  wasm?: WasmSource | undefined;
}

/** Why a frame was rejected: what the browser is told, and as `cause` the database's own error, which it is not told. */
export interface Rejection {
  /** A stable reason, such as `CONSTRAINT`. */
  reason?: string | undefined;
  /** A sentence for people. */
  detail?: string | undefined;
  column?: string | undefined;
  /** The row of the frame, counted from 0. */
  row?: number | undefined;
  cause: unknown;
}

/** Takes every request below its base; never rejects. */
export type FrameHandler = (request: Request) => Promise<Response>;

/** A place for rows, made by `postgres`, `pglite` or `clickhouse`. What is in it is not public. */
export interface Engine {
  /** @internal */
  readonly state: (key: StateKey, run: Run) => Promise<StreamState>;
  /** @internal */
  readonly apply: (write: Write, run: Run) => Promise<Outcome>;
}

/** @internal */
export interface StreamKey {
  stream: string;
  tenant: string;
}

/** A stream, and where the asker's knowledge of it ends; null when it does not say. @internal */
export interface StateKey extends StreamKey {
  since: number | null;
}

/** How far a stream is: its last seq, and the digest of that item as the browser keeps it. @internal */
export interface StreamState {
  lastSeq: number;
  lastDigest: string | null;
  /** The first item after `since` that was given up, if one was; not there when nobody asked, or the log is too short. */
  skipped?: Skipped[] | undefined;
}

/** An item that was given up. @internal */
export interface Skipped {
  seq: number;
  digest: string;
  code: string;
}

/** How long an engine has. @internal */
export interface Run {
  timeoutMs: number;
  signal: AbortSignal;
}

/** A table that the allow-list names. @internal */
export interface Table {
  name: string;
  namespace: string | null;
  policy: SchemaPolicy;
}

/** One request, understood and checked. @internal */
export interface Write extends StreamKey {
  from: number;
  to: number;
  /** Of item `to`. */
  digest: string;
  /** Of item `from` − 1, as the sender has it; null when it does not say. */
  after: string | null;
  table: Table;
  /** The rows, or why there are none: the browser gave an item up that was rejected. */
  content: { frame: Frame } | { skipped: string };
}

/** A decoded frame. @internal */
export interface Frame {
  readonly rows: number;
  plan(target: object): Plan;
  planInsert(target: object): InsertPlan;
  /** The rows as an Arrow IPC stream, with a column of one tag. */
  stream(tag: { tag: string; value: string }): Uint8Array<ArrayBuffer>;
  /** The next piece of the planned COPY; null after the last. */
  next(bytes: number): Uint8Array<ArrayBuffer> | null;
}

/** What src/copy/plan.rs answers. @internal */
export interface Plan {
  schema: string[];
  before: string[];
  copy: string;
  after: string[];
}

/** What src/copy/clickhouse.rs answers. @internal */
export interface InsertPlan {
  schema: string[];
  insert: string;
}

/** @internal */
export interface Outcome {
  kind: 'applied' | 'duplicate' | 'gap' | 'forked';
  state: StreamState;
  rows: number;
  /** What the operator is told though all is well with the rows. */
  trouble?: unknown;
}
