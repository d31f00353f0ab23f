// framelock/server: what takes forwarded frames on the other side. Web-standard but for toNodeListener; no dependency.
export { clickhouse, clickhouseBooksSql, type ClickHouseOptions } from './clickhouse.js';
export { createFrameHandler } from './handler.js';
export { toNodeListener, type NodeRequest, type NodeResponse } from './node-listener.js';
export { pglite, type PGliteLike, type PGliteTransaction } from './pglite.js';
export { postgres, type PgClient, type PgPool } from './postgres.js';
export { booksSql } from './sql.js';
export type { BooksOptions, Row } from './transaction.js';
export type {
  Authorize,
  Authorized,
  Constant,
  Engine,
  FrameHandler,
  FrameHandlerOptions,
  Limits,
  Refusal,
  Rejection,
  SchemaPolicy,
  TableSettings,
  Target,
} from './types.js';
export type { WasmSource } from './wasm.js';
