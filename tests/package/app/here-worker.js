import { here } from 'framelock/here';
import { trial } from './trial.js';

// No second worker: whoever starts one here fails.
globalThis.Worker = undefined;

trial('here', { engine: here }).then(postMessage, (error) => postMessage({ error: String(error) }));
