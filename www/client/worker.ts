// The worker: it loads the engine and pipes messages. It decides nothing. Whatever nobody caught here ends the
// handle, since an engine that trapped is in no known state; the page then ends this worker.
import init, { delete_database, Handle, list_databases } from './framelock_wasm.js';
import type { WireError } from './errors.js';
import type { PageMessage, WorkerMessage } from './messages.js';

const scope = globalThis as unknown as {
  postMessage(message: WorkerMessage, transfer?: Transferable[]): void;
  onmessage: (event: MessageEvent<PageMessage>) => void;
};

let handle: Handle | undefined;

/** The engine's own error object as it is; anything else as a failed worker. */
function toWire(reason: unknown): WireError {
  if (typeof reason === 'object' && reason !== null && 'code' in reason && 'message' in reason) {
    if (typeof reason.code === 'string') return reason as WireError;
  }
  return { code: 'WORKER_FAILED', message: `the worker failed: ${String(reason)}` };
}

const fail = (reason: unknown): void => scope.postMessage({ kind: 'failed', error: toWire(reason) });
addEventListener('error', (event) => fail((event as ErrorEvent).error ?? (event as ErrorEvent).message));
addEventListener('unhandledrejection', (event) => fail((event as PromiseRejectionEvent).reason));

async function start(message: Extract<PageMessage, { kind: 'open' | 'list' | 'delete' }>): Promise<void> {
  const engine = message.module ?? message.wasmUrl;
  await init(engine === undefined ? undefined : { module_or_path: engine });
  if (message.kind === 'list') {
    scope.postMessage({ kind: 'done', value: await list_databases() });
  } else if (message.kind === 'delete') {
    scope.postMessage({ kind: 'done', value: await delete_database(message.name) });
  } else {
    const post = (answer: unknown, transfer: Transferable[]) =>
      scope.postMessage(answer as WorkerMessage, transfer);
    handle = await Handle.open(message.name, message.options, post);
    scope.postMessage({ kind: 'opened' });
  }
}

scope.onmessage = ({ data }) => {
  if (data.kind === 'call') handle?.call(data.id, data.op, data.args, data.buffers);
  else if (data.kind === 'cancel') handle?.cancel(data.id);
  else if (data.kind === 'lifecycle') handle?.lifecycle(data.state);
  else if (data.kind === 'listen') handle?.listen(data.event);
  else start(data).catch(fail);
};
