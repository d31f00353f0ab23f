// The package's own worker: one channel of the engine on the worker's own messages. Whatever nobody caught here ends
// the handle, since an engine that trapped is in no known state; the page then ends this worker.
import type { PageMessage, WorkerMessage } from './messages.js';
import { serve } from './serve.js';
import { warmUpWhenIdle } from './warm.js';

const scope = globalThis as unknown as {
  postMessage(message: WorkerMessage, transfer?: Transferable[]): void;
  onmessage: (event: MessageEvent<PageMessage>) => void;
};

let isFirst = false;
let heard: ((message: PageMessage) => void) | undefined;
const { receive, fail } = serve((message, transfer) => {
  scope.postMessage(message, transfer);
  if (message.kind === 'opened' && isFirst) heard = warmUpWhenIdle();
});
addEventListener('error', (event) => fail((event as ErrorEvent).error ?? (event as ErrorEvent).message));
addEventListener('unhandledrejection', (event) => fail((event as PromiseRejectionEvent).reason));
scope.onmessage = ({ data }) => {
  if (data.kind === 'open') isFirst = data.isFirst === true;
  heard?.(data);
  receive(data);
};
