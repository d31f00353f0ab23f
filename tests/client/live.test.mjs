// Which live queries go on when a worker dies (www/client/live.ts), against a handle that says when. That they do over a
// real engine, tests/contract/memory.test.mjs sees.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FramelockError } from '../../.cache/modules/errors.js';
import { live } from '../../.cache/modules/live.js';

/** A handle whose worker runs one query at a time, and dies of some: all that wait fail with it. */
function mortal(isDeadly) {
  let waiting = [];
  const next = () => {
    const call = waiting[0];
    if (call === undefined) return;
    if (isDeadly(call.sql)) {
      const failed = waiting;
      waiting = [];
      for (const { reject } of failed) reject(new FramelockError('WORKER_FAILED', 'out of memory'));
    } else {
      waiting.shift();
      call.resolve([]);
      setImmediate(next);
    }
  };
  return {
    on: () => () => {},
    query: (sql) =>
      new Promise((resolve, reject) => {
        if (waiting.push({ sql, resolve, reject }) === 1) setImmediate(next);
      }),
  };
}

/** How often these queries gave rows and errors, some seconds later. */
async function outcomes(context, db, ...queries) {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const seen = queries.map((sql) => {
    const count = { rows: 0, errors: 0 };
    count.stop = live(db, sql, [], () => count.rows++, { onError: () => count.errors++ });
    return count;
  });
  for (let i = 0; i < 200; i++) {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    context.mock.timers.tick(50);
  }
  return seen.map(({ rows, errors, stop }) => (stop(), { rows: rows > 0, errors }));
}

test('the query that a worker dies of ends, and no other one does', async (context) => {
  const db = mortal((sql) => sql === 'SELECT deadly');
  const seen = await outcomes(context, db, 'SELECT deadly', 'SELECT a', 'SELECT b');
  for (const other of seen.slice(1)) assert.equal(other.rows, true, JSON.stringify(seen));
  assert.deepEqual(seen[0], { rows: false, errors: 3 });
});

test('a worker that dies of something else twice ends none', async (context) => {
  let deaths = 2;
  const db = mortal((sql) => sql === 'SELECT a' && deaths-- > 0);
  assert.deepEqual(await outcomes(context, db, 'SELECT a'), [{ rows: true, errors: 2 }]);
});
