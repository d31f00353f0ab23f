// Browsers compile a function of the engine when it is first called, so the first write of a page takes ten times as
// long as the next one. This makes one beforehand, while the page does nothing, into a database in memory: it touches
// no file and no lock. What it compiles serves every handle of the page.
import { Handle } from './framelock_wasm.js';
import type { PageMessage } from './messages.js';

/** So long has nobody called before it begins. It takes some tens of milliseconds, a call at a time. */
const IDLE_MS = 100;

/** The rows `[{ i: 1, s: 'a' }]`, as frames.ts packs them; that is the page's, and not loaded here. */
export const PACKED = {
  descriptor:
    '{"rows":1,"columns":[{"name":"i","kind":"cells","tags":[0,0,1],"numbers":[1,0,8]},' +
    '{"name":"s","kind":"cells","tags":[2,0,1],"texts":[3,0,1],"textLengths":[4,0,4]}]}',
  buffers: () => [
    Uint8Array.of(1),
    new Uint8Array(Float64Array.of(1).buffer),
    Uint8Array.of(3),
    Uint8Array.of(97),
    new Uint8Array(Uint32Array.of(1).buffer),
  ],
};

async function warmUp(): Promise<void> {
  let settle: (value: unknown) => void;
  const post = (message: { value?: unknown }) => settle(message.value);
  const handle = await Handle.open('warm-up', { storage: 'memory', durability: 'full' }, post as never);
  let id = 0;
  const call = (op: string, args: object, buffers: Uint8Array[] = []) =>
    new Promise<unknown>((resolve) => {
      settle = resolve;
      handle.call(++id, op, { params: [], options: {}, progress: false, ...args }, buffers);
    });
  await call('exec', { sql: 'CREATE TABLE t(i)' });
  const ipc = await call('queryArrow', { sql: "SELECT 1 AS i, 1.5 AS r, 'a' AS s" });
  await call('append', { table: 'a', form: 'ipc' }, [ipc as Uint8Array]);
  const { descriptor, buffers } = PACKED;
  await call('append', { table: 'b', form: 'packed', descriptor }, buffers());
  await call('query', { sql: 'SELECT * FROM a' });
  await call('close', {});
  handle.free();
}

/**
 * Warms the engine up once, when nobody calls, unless somebody writes before. What it gives is to be told of every
 * message of the page.
 */
export function warmUpWhenIdle(warm: () => unknown = warmUp): (message: PageMessage) => void {
  let isDue = true;
  const wait = () =>
    setTimeout(() => {
      isDue = false;
      warm();
    }, IDLE_MS);
  let timer = wait();
  return (message) => {
    clearTimeout(timer);
    if (message.kind === 'call' && ['append', 'close'].includes(message.op)) isDue = false;
    if (isDue) timer = wait();
  };
}
