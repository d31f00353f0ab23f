// The worker of test databases: the normal one, with hooks under it. The order matters.
import './hooks.js';
import '../worker.js';
