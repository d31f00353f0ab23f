// Where the engine runs: in the package's own worker unless the caller brings another host. Nothing here knows what is
// said to it.
import { FramelockError } from './errors.js';
import type { AssetOptions, EngineHost } from './types.js';

/** The other end of the protocol, as much of a Worker as is used of one. A MessagePort has all but `terminate`. */
export type EnginePort = Pick<
  Worker,
  'postMessage' | 'addEventListener' | 'removeEventListener' | 'terminate'
> & {
  onmessage: ((event: MessageEvent) => void) | null;
  onmessageerror: ((event: MessageEvent) => void) | null;
  onerror?: ((event: ErrorEvent) => void) | null;
};

/** Starts an engine. */
export type Spawn = (assets: AssetOptions) => EnginePort;

/** The package's own worker. The address is written out in full: bundlers look for exactly this expression. */
const spawnOwn: Spawn = ({ workerUrl }) =>
  workerUrl === undefined
    ? new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'framelock' })
    : new Worker(workerUrl, { type: 'module', name: 'framelock' });

/** The spawning functions behind the hosts that callers are given. */
const hosts = new WeakMap<EngineHost, Spawn>();

/** Makes a host; only this package's entries do. */
export function engineHost(spawn: Spawn): EngineHost {
  const host = Object.freeze({}) as EngineHost;
  hosts.set(host, spawn);
  return host;
}

/** Whether a value is such a host. */
export const isEngineHost = (value: unknown): boolean => hosts.has(value as EngineHost);

let memorySpawn: Spawn | undefined;

/** From now on databases in memory run so where there are no workers: framelock/testing in Node. */
export function spawnMemoryBy(spawn: Spawn): void {
  memorySpawn = spawn;
}

/**
 * How to start an engine, or a refusal where there are no workers: during server rendering, say. `needsWasm`: it is to
 * be told where the wasm is.
 */
export function spawning(
  assets: AssetOptions,
  inMemory: boolean,
  spawn: Spawn = spawnOwn,
): { spawn: Spawn; needsWasm: boolean } {
  const chosen = assets.engine && hosts.get(assets.engine);
  if (chosen) return { spawn: chosen, needsWasm: true };
  if (typeof Worker !== 'undefined') return { spawn, needsWasm: true };
  if (inMemory && memorySpawn) return { spawn: memorySpawn, needsWasm: false };
  throw new FramelockError(
    'STORAGE_UNAVAILABLE',
    "there are no workers here: this is no page or dedicated worker. In Node, import 'framelock/testing' and say storage: 'memory'; " +
      'a page that is rendered on a server opens its database in an effect',
  );
}
