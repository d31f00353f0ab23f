// What the runner calls in a tab: it takes a contender, here or in a worker, and runs one workload on it.
import { Host, OPERATIONS } from './host.js';
import { CONTENDERS } from './contenders/index.js';
import * as workloads from './workloads.js';

/** A Host in a worker of its own. `inside` is the time that the last call took there. */
function inWorker(isolated) {
  const worker = new Worker(`/bench/worker.js${isolated ? '?isolated' : ''}`, { type: 'module' });
  const pending = new Map();
  let last = 0;
  worker.onmessage = ({ data: { id, value, error, stack, ms } }) => {
    const { resolve, reject } = pending.get(id);
    pending.delete(id);
    host.inside = ms;
    if (error === undefined) resolve(value);
    else reject(Object.assign(new Error(error), { stack }));
  };
  worker.onerror = (event) => {
    for (const { reject } of pending.values()) reject(new Error(event.message ?? 'the worker did not load'));
    pending.clear();
  };
  const host = { inside: 0, end: () => worker.terminate() };
  for (const op of OPERATIONS) {
    host[op] = (...args) =>
      new Promise((resolve, reject) => {
        pending.set(++last, { resolve, reject });
        worker.postMessage({ id: last, op, args });
      });
  }
  return host;
}

function inPage() {
  const host = new Host();
  host.end = () => {};
  return host;
}

let host;

/** Empties the origin's storage, so that nothing of an earlier turn is in the way. */
async function clean() {
  const folder = await navigator.storage.getDirectory();
  for (const name of await Array.fromAsync(folder.keys()))
    await folder.removeEntry(name, { recursive: true });
}

/** Loads a contender into this tab. */
async function load(name, options = {}) {
  const contender = CONTENDERS[name];
  host = contender.where === 'worker' ? inWorker(contender.isolated) : inPage();
  const { module, variant } = contender;
  await host.load({ module: new URL(module, import.meta.url).href, variant, ...options });
}

globalThis.bench = {
  load,
  clean,
  /** Runs a workload's part on the loaded contender; returns its numbers. */
  run: (workload, part, options) => workloads[workload][part](host, options),
  /** Loads and opens in one go, which is what W4 times. */
  cold: (name, options) =>
    workloads.W4.cold(
      () => load(name),
      () => host,
      options,
    ),
  end: () => host.end(),
};
