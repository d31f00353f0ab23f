// A contender's dedicated worker: a Host behind messages.
import { Host } from './host.js';

const host = new Host();
let queue = Promise.resolve();

onmessage = ({ data: { id, op, args } }) => {
  // One after the other, as a page awaits them.
  queue = queue.then(async () => {
    const start = performance.now();
    try {
      const value = await host[op](...args);
      postMessage({ id, value, ms: performance.now() - start });
    } catch (error) {
      postMessage({ id, error: `${error?.message ?? error}`, stack: error?.stack });
    }
  });
};
