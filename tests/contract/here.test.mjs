// framelock/here: the engine in the user's own dedicated worker, and no second worker.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { inBrowsers } from './harness.mjs';

/** Runs in the page: starts the user's worker once and asks it for a deed. */
async function ask(deed) {
  const next = (worker) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
    });
  if (!globalThis.own) {
    globalThis.own = new Worker('/tests/contract/here-worker.mjs', { type: 'module' });
    await next(own);
  }
  const answer = next(own);
  own.postMessage(deed);
  const { value, error } = await answer;
  if (error) throw new Error(error);
  return value;
}

inBrowsers((context) => {
  let tab;
  before(async () => (tab = await context.browser.newTab()));

  // First: a worker loads its engine once.
  test('an engine that did not load is loaded the next time', async () => {
    assert.deepEqual(await tab.run(ask, 'loads'), { codes: ['WORKER_FAILED', 'opened'], started: 0 });
  });

  test('three handles live in one worker; closing them frees every lock', async () => {
    const { receipts, heard, ...rest } = await tab.run(ask, 'lives');
    assert.deepEqual(receipts, [true]);
    assert.ok(
      heard.every((event) => event.startsWith('t ')),
      heard.join(),
    );
    assert.deepEqual(rest, {
      counts: [50, 1],
      alive: 1,
      sqlError: 'SQL',
      names: ['here-a', 'here-b'],
      busy: 'BUSY',
      locks: 0,
      closed: 'CLOSED',
      started: 0,
    });
  });

  test('closed and opened again, then removed', async () => {
    assert.deepEqual(await tab.run(ask, 'reopens'), { sums: [0, 1, 3, 6, 10], left: [], started: 0 });
  });

  test('memory works there too', async () => {
    assert.deepEqual(await tab.run(ask, 'memory'), { rows: 1000, started: 0 });
  });

  test('an open that fails half-way leaves no lock behind', async () => {
    assert.deepEqual(await tab.run(ask, 'fails'), { code: 'STORAGE_UNAVAILABLE', locks: 0, started: 0 });
  });

  // Firefox's `new Worker` in a worker does not return now and then, and that worker hangs for good; one-line scripts
  // without framelock do it too (docs/recipes.md). client.test opens one there all the same.
  const own = { skip: context.name === 'firefox' && 'Firefox: new Worker in a worker may hang' };
  test('without the option there is a worker of its own for each, as in a page', own, async () => {
    assert.deepEqual(await tab.run(ask, 'own'), { wrong: 'INVALID_ARGUMENT', started: 2 });
  });

  test('a page is no dedicated worker', async () => {
    const code = await tab.run(async () => {
      const { here } = await import('/dist/here.js');
      return framelock.openDatabase('a', { engine: here }).catch(({ code }) => code);
    });
    assert.equal(code, 'INVALID_ARGUMENT');
  });
});
