// The app that every bundler gets: framelock in the page and, at the same time, in two dedicated workers of the app's
// own, in the second one without a further worker. framelock/testing is there for its `node` condition not to be taken.
import { withTestDatabase } from 'framelock/testing';
import { trial } from './trial.js';

const answer = (worker) =>
  new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message ?? 'the worker did not load'));
  });
const own = answer(new Worker(new URL('./own-worker.js', import.meta.url), { type: 'module' }));
const here = answer(new Worker(new URL('./here-worker.js', import.meta.url), { type: 'module' }));

Promise.all([trial('page'), own, here])
  .then(([page, own, here]) => ({ page, own, here }))
  .catch((error) => ({ error: String(error) }))
  .then((result) => (globalThis.result = result));

// Never asked for; it is enough that the bundlers see it.
globalThis.testNow = () => withTestDatabase((db) => db.name, { storage: 'memory' });
