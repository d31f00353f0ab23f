// The engine's side of the protocol, wherever the engine runs: it loads the engine and pipes messages. It decides
// nothing. One call of `serve` is one handle, or one errand.
import init, { delete_database, Handle, list_databases } from './framelock_wasm.js';
import type { WireError } from './errors.js';
import { Exchanger, type ExchangeRequest } from './exchange.js';
import type { PageMessage, WorkerMessage } from './messages.js';

/** Sends a message to the page's side. */
export type Send = (message: WorkerMessage, transfer?: Transferable[]) => void;

/** The engine's end of one channel. */
export interface Served {
  /** Takes a message of the page's side. What the engine throws at it is sent back as `failed`. */
  receive(message: PageMessage): void;
  /** Says that something failed that nobody caught. */
  fail(reason: unknown): void;
  /** Gives the handle's locks and memory back, also those of one that is still being opened. */
  free(): void;
  /** Whether there is an engine: its file came, and was one. */
  isLoaded(): boolean;
}

/** The engine's own error object as it is; anything else as a failed worker. */
function toWire(reason: unknown, memory: WebAssembly.Memory | undefined): WireError {
  if (typeof reason === 'object' && reason !== null && 'code' in reason && 'message' in reason) {
    if (typeof reason.code === 'string') return reason as WireError;
  }
  // A trap does not say why, and most often there was no more memory.
  const megabytes = memory && Math.round(memory.buffer.byteLength / 2 ** 20);
  const why =
    reason instanceof WebAssembly.RuntimeError && megabytes !== undefined
      ? ` with ${megabytes} MB in use, out of memory or by a fault of its own`
      : '';
  return {
    code: 'WORKER_FAILED',
    message: `the worker failed${why}: ${String(reason).replace(/^Error: /, '')}`,
  };
}

/** What browsers say about a file that did not load, or is none, does not tell which file. */
function notLoaded(reason: unknown): never {
  throw new Error(
    `the wasm did not load (is it beside the bundle or where wasmUrl says, does the CSP allow it?): ${String(reason)}`,
  );
}

/** Begins to serve one channel, whose messages to the page's side go through `send`. */
export function serve(send: Send): Served {
  /** Null once it is over. */
  let handle: Handle | null | undefined;
  /** Of a handle that forwards. */
  let exchanger: Exchanger | undefined;
  let memory: WebAssembly.Memory | undefined;
  const fail = (reason: unknown): void => send({ kind: 'failed', error: toWire(reason, memory) });

  async function start(message: Extract<PageMessage, { kind: 'open' | 'list' | 'delete' }>): Promise<void> {
    const engine = message.module ?? message.wasmUrl;
    ({ memory } = await init(engine === undefined ? undefined : { module_or_path: engine }).catch(notLoaded));
    if (message.kind === 'list') {
      send({ kind: 'done', value: await list_databases() });
    } else if (message.kind === 'delete') {
      send({ kind: 'done', value: await delete_database(message.name) });
    } else {
      const post = (answer: unknown, transfer: Transferable[]) => send(answer as WorkerMessage, transfer);
      const { forward } = message.options;
      const to = forward && new Exchanger(forward.url);
      exchanger = to;
      const exchange =
        to && ((request: ExchangeRequest, signal: AbortSignal) => to.exchange(request, signal));
      const opened = await Handle.open(message.name, message.options, post, exchange);
      if (handle === null) return opened.free();
      handle = opened;
      send({ kind: 'opened' });
    }
  }

  function receive(message: PageMessage): void {
    if (message.kind === 'call') handle?.call(message.id, message.op, message.args, message.buffers);
    else if (message.kind === 'cancel') handle?.cancel(message.id);
    else if (message.kind === 'lifecycle') handle?.lifecycle(message.state);
    else if (message.kind === 'listen') handle?.listen(message.event);
    else if (message.kind === 'token') takeToken(message);
    else if (message.kind !== 'ping') start(message).catch(fail);
  }

  function takeToken({ id, token }: Extract<PageMessage, { kind: 'token' }>): void {
    if (exchanger) exchanger.token = token;
    handle?.token(id, token !== undefined);
  }

  return {
    receive(message) {
      try {
        receive(message);
      } catch (reason) {
        fail(reason);
      }
    },
    fail,
    free() {
      handle?.free();
      handle = null;
    },
    isLoaded: () => memory !== undefined,
  };
}
