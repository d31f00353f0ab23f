// The torture runs, cut to seconds; `npm run torture` has them in full.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failover, killedBackends } from './torture.mjs';

test('8 writers while backends are killed, answers lost, requests doubled: every row once', async (t) => {
  const run = await killedBackends({ writers: 8, items: 6, rows: 1000 });
  t.diagnostic(`${run.rows} of ${run.of} rows; ${run.killed} backends killed; ${run.seconds.toFixed(1)} s`);
  assert.ok(run.killed > 10, `${run.killed} backends killed`);
  assert.equal(run.rows, run.of);
});

test("writers across the primary's SIGKILL and the standby's promotion: every row once", async (t) => {
  const run = await failover({ writers: 6, items: 15, rows: 1000 });
  t.diagnostic(
    `${run.rows} of ${run.of} rows; killed after ${run.before} frames; ${run.seconds.toFixed(1)} s`,
  );
  assert.equal(run.rows, run.of);
});
