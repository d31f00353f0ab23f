// A server in a process of its own, for those who attack it: its memory is measured, and its death is noticed.
// Started by fork(); told where PostgreSQL is by its arguments, asked for its memory by messages.
import pg from 'pg';
import { createFrameHandler, postgres } from '../../dist/server/index.js';
import { listen } from './listen.mjs';
import { authorize } from './wire.mjs';

const pool = new pg.Pool({ ...JSON.parse(process.argv[2]), max: 8 });
let errors = 0;
const handler = createFrameHandler({
  engine: postgres(pool),
  authorize,
  tables: { open: {}, victim: {}, zeros: { schema: 'strict' } },
  schema: 'create',
  limits: { requestsPerSecond: 1e6, bodyTimeoutMs: 4000, maxConcurrent: 32, maxConcurrentPerTenant: 32 },
  onError: () => (errors += 1),
});
const { base } = await listen(handler);
let peak = 0;
setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 10).unref();
process.on('message', () => {
  globalThis.gc();
  process.send({ rss: process.memoryUsage.rss(), peak, errors });
  peak = 0;
});
process.send({ base });
