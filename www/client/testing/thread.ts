// The thread of a database in memory in Node: one channel of the engine on the port that it was given. What nobody
// caught ends the thread, and node.ts hears of it.
import { workerData } from 'node:worker_threads';
import type { PageMessage, StartMessage } from '../messages.js';
import { serve } from '../serve.js';

const { port, module } = workerData as { port: MessagePort; module: WebAssembly.Module };
const { receive } = serve((message, transfer = []) => port.postMessage(message, transfer));
const isStart = (message: PageMessage): message is StartMessage => message.kind === 'open';

port.onmessage = ({ data }: MessageEvent<PageMessage>) => receive(isStart(data) ? { ...data, module } : data);
