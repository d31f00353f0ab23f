// What the engine (src/api.rs, through wasm-bindgen) exports, and all that the worker uses of it. The module itself
// is generated into dist/ by the build.

import type { ExchangeAnswer, ExchangeRequest } from './exchange.js';

/** Loads the WebAssembly module, or takes a compiled one; without either, the file beside the script. */
export default function init(options?: {
  module_or_path?: string | WebAssembly.Module;
}): Promise<{ memory: WebAssembly.Memory }>;

/** Asks the server that frames are forwarded to. */
export type Exchange = (request: ExchangeRequest, signal: AbortSignal) => Promise<ExchangeAnswer>;

/** Sends a message of the protocol to the page. */
export type Post = (message: unknown, transfer: Transferable[]) => void;

/** One open handle. It answers through the `post` it was opened with. */
export class Handle {
  private constructor();
  /** Rejects with a plain error object (`WireError`). */
  static open(
    name: string,
    options: { storage: string; durability: string },
    post: Post,
    exchange?: Exchange,
  ): Promise<Handle>;
  call(id: number, op: string, args: unknown, buffers: Uint8Array[]): void;
  cancel(id: number): void;
  lifecycle(state: string): void;
  listen(event: string): void;
  /** The exchange has the token that was asked for, or there is none. */
  token(id: number, came: boolean): void;
  /** Drops the engine's side of the handle. */
  free(): void;
}

/** The names of the databases of this origin. Rejects with a plain error object. */
export function list_databases(): Promise<string[]>;
/** Removes a database. Rejects with a plain error object. */
export function delete_database(name: string): Promise<void>;
