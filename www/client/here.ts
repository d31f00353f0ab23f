// framelock/here: the engine in the caller's own dedicated worker, in place of a second one. The handle and the engine
// speak over a MessageChannel: answers come as tasks of their own, as from a worker, so that a caller in a loop leaves
// room for locks, timers and other tabs. Nothing is put on the worker's global scope.
import { FramelockError } from './errors.js';
import type { PageMessage, WorkerMessage } from './messages.js';
import { serve } from './serve.js';
import { type EnginePort, engineHost } from './spawn.js';
import type { EngineHost } from './types.js';

/**
 * Set by the first failure of the engine that nobody caught: all handles of this scope share it, and it is in no known
 * state. One that did not load may do so the next time.
 */
let failed = false;

/** OPFS gives synchronous access to dedicated workers alone. */
function needDedicatedWorker(): void {
  const { DedicatedWorkerGlobalScope: Scope } = globalThis as { DedicatedWorkerGlobalScope?: Function };
  if (Scope !== undefined && globalThis instanceof Scope) return;
  throw new FramelockError('INVALID_ARGUMENT', 'framelock/here works in a dedicated worker only');
}

function spawnHere(): EnginePort {
  needDedicatedWorker();
  if (failed) {
    const message = 'the engine failed in this worker before: end the worker and start another';
    throw new FramelockError('WORKER_FAILED', message);
  }
  const { port1, port2 } = new MessageChannel();
  const engine = serve((message: WorkerMessage, transfer: Transferable[] = []) => {
    failed ||= message.kind === 'failed' && message.error.code === 'WORKER_FAILED' && engine.isLoaded();
    port2.postMessage(message, transfer);
  });
  port2.onmessage = ({ data }: MessageEvent<PageMessage>) => engine.receive(data);
  port1.start();
  const terminate = () => {
    port1.close();
    port2.close();
    // An engine that trapped cannot even be freed.
    if (!failed) engine.free();
  };
  return Object.assign(port1, { terminate }) as EnginePort;
}

/**
 * The engine in this dedicated worker, for the `engine` option of `openDatabase`, `deleteDatabase` and `listDatabases`:
 * no second worker is started. All handles of the worker share one engine.
 *
 * While your own code computes without awaiting, the engine cannot answer other tabs: their frames go to the durable
 * queue, and a lock that it holds is not given up. When the engine fails, end the worker: only that frees its locks. A
 * worker that computes for long is better off without this option.
 *
 * @example
 * import { openDatabase } from 'framelock';
 * import { here } from 'framelock/here';
 * const db = await openDatabase('trades', { engine: here });
 */
export const here: EngineHost = engineHost(spawnHere);
