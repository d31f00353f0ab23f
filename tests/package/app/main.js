// The app that every bundler gets: framelock in the page and, at the same time, in a dedicated worker of the app's own.
import { trial } from './trial.js';

const worker = new Worker(new URL('./own-worker.js', import.meta.url), { type: 'module' });
const inWorker = new Promise((resolve, reject) => {
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => reject(new Error(event.message ?? 'the worker did not load'));
});

Promise.all([trial('page'), inWorker])
  .then(([page, own]) => ({ page, own }))
  .catch((error) => ({ error: String(error) }))
  .then((result) => (globalThis.result = result));
