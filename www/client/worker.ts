// The package's own worker: one channel of the engine on the worker's own messages. Whatever nobody caught here ends
// the handle, since an engine that trapped is in no known state; the page then ends this worker.
import { holdWhileAlive } from './alive.js';
import type { PageMessage, WorkerMessage } from './messages.js';
import { serve } from './serve.js';
import { warmUpWhenIdle } from './warm.js';

const scope = globalThis as unknown as {
  postMessage(message: WorkerMessage, transfer?: Transferable[]): void;
  onmessage: (event: MessageEvent<PageMessage>) => void;
};

let isFirst = false;
let heard: ((message: PageMessage) => void) | undefined;
let alive: Promise<string | undefined> | undefined;

async function opened(): Promise<void> {
  const held = await alive;
  scope.postMessage(held === undefined ? { kind: 'opened' } : { kind: 'opened', alive: held });
  if (isFirst) heard = warmUpWhenIdle();
}

const { receive, fail } = serve((message, transfer) => {
  if (message.kind === 'opened') void opened();
  else scope.postMessage(message, transfer);
});
addEventListener('error', (event) => fail((event as ErrorEvent).error ?? (event as ErrorEvent).message));
addEventListener('unhandledrejection', (event) => fail((event as PromiseRejectionEvent).reason));
scope.onmessage = ({ data }) => {
  if (data.kind === 'ping') return scope.postMessage({ kind: 'pong' });
  if (data.kind === 'open') {
    isFirst = data.isFirst === true;
    alive = holdWhileAlive();
  }
  heard?.(data);
  receive(data);
};
