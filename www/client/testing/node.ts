// framelock/testing in Node: the same functions, and databases in memory for all of framelock in this process, each in a
// thread of its own with the engine that browsers get. Nothing but memory is to be had; OPFS stays STORAGE_UNAVAILABLE.
import { readFileSync } from 'node:fs';
// jsdom, which Jest runs tests in, has no MessageChannel of its own.
import { MessageChannel, Worker as Thread } from 'node:worker_threads';
import type { PageMessage, WorkerMessage } from '../messages.js';
import { type EnginePort, spawnMemoryBy } from '../spawn.js';

export * from './index.js';

let compiled: WebAssembly.Module | undefined;

/** The engine, compiled once for all threads. */
function engine(): WebAssembly.Module {
  const file = new URL('../framelock_wasm_bg.wasm', import.meta.url);
  compiled ??= new WebAssembly.Module(readFileSync(file));
  return compiled;
}

function spawnThread(): EnginePort {
  const { port1, port2 } = new MessageChannel();
  const thread = new Thread(new URL('./thread.js', import.meta.url), {
    workerData: { port: port2, module: engine() },
    transferList: [port2],
    // Not the process's own flags: a loader of TypeScript, say, has nothing to do here.
    execArgv: [],
  });
  thread.on('error', (reason) => {
    const error = { code: 'WORKER_FAILED', message: `the thread failed: ${String(reason)}` } as const;
    const message: WorkerMessage = { kind: 'failed', error };
    port1.dispatchEvent(new MessageEvent('message', { data: message }));
  });
  thread.unref();
  const terminate = () => {
    port1.close();
    thread.terminate();
  };
  port1.start();
  return keepAliveWhileWaiting(Object.assign(port1 as NodePort, { terminate }));
}

type NodePort = MessagePort & { terminate(): void; ref(): void; unref(): void };

/** A call under way keeps the process alive, a handle that is forgotten does not. */
function keepAliveWhileWaiting(port: NodePort): EnginePort {
  const send = port.postMessage.bind(port);
  let waiting = 0;
  // A moment later: whoever gets the answer may listen anew, which counts as keeping alive.
  const rest = () => setTimeout(() => waiting === 0 && port.unref());
  port.addEventListener('message', ({ data: { kind } }: MessageEvent<WorkerMessage>) => {
    if (kind === 'failed') waiting = 0;
    else if (kind === 'opened' || kind === 'reply' || kind === 'error') waiting -= 1;
    if (waiting === 0) rest();
  });
  const postMessage = (message: PageMessage, transfer: Transferable[]) => {
    if (message.kind === 'open' || message.kind === 'call') waiting += 1;
    if (waiting > 0) port.ref();
    send(message, transfer);
  };
  return Object.assign(port, { postMessage }) as EnginePort;
}

// Browsers report with it what `live` and listeners throw; Node has none. There, too, it is an uncaught error.
globalThis.reportError ??= (error) =>
  queueMicrotask(() => {
    throw error;
  });
spawnMemoryBy(spawnThread);
