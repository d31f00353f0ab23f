// framelock's worker with its storage calls counted.
import './counted-here.js';
import '/dist/worker.js';
