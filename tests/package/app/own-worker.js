import { trial } from './trial.js';

trial('worker').then(postMessage, (error) => postMessage({ error: String(error) }));
