// When the browser is asked to keep the origin's storage: once, after a write that follows on something the visitor did,
// and never otherwise. The browser's own answer is taken from it; what is asked and when is what is tested.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inBrowsers } from './harness.mjs';

/** Runs in the page: counts the questions; `active` stands for a visitor who has just clicked. */
async function count(options, deed) {
  let asked = 0;
  let kept = false;
  const activation = { isActive: false, hasBeenActive: false };
  Object.defineProperty(navigator, 'userActivation', { value: activation, configurable: true });
  navigator.storage.persisted = async () => kept;
  navigator.storage.persist = async () => {
    asked += 1;
    return (kept = true);
  };
  const seen = {};
  const look = async (when) => {
    await new Promise((resolve) => setTimeout(resolve));
    seen[when] = asked;
  };
  const db = await framelock.openDatabase(`persist-${crypto.randomUUID()}`, options);
  await look('open');
  await db.appendFrame('t', { n: Int32Array.of(1) });
  await look('not by the visitor');
  activation.isActive = true;
  await db.query('SELECT * FROM t');
  await look('read');
  if (deed === 'append') await db.appendFrame('t', { n: Int32Array.of(2) });
  if (deed === 'exec') await db.exec('DELETE FROM t');
  if (deed === 'transaction') await db.transaction((tx) => tx.exec('DELETE FROM t'));
  if (deed === 'failed') await db.appendFrame('t', { n: ['text'] }).catch(() => {});
  await look('written');
  await db.appendFrame('t', { n: Int32Array.of(3) });
  await look('later');
  seen.status = (await db.status()).persisted;
  await db.close();
  return seen;
}

inBrowsers((context) => {
  /** In a page of its own: what was asked is remembered as long as a page lives. */
  const counted = async (options, deed) => {
    const tab = await context.browser.newTab();
    const seen = await tab.run(count, options, deed);
    await tab.close();
    return seen;
  };
  const before = { open: 0, 'not by the visitor': 0, read: 0 };

  for (const deed of ['append', 'exec', 'transaction']) {
    test(`once, after ${deed}, and status says what came of it`, async () => {
      assert.deepEqual(await counted({}, deed), { ...before, written: 1, later: 1, status: true });
    });
  }

  test('not after a write that failed', async () => {
    assert.deepEqual(await counted({}, 'failed'), { ...before, written: 0, later: 1, status: true });
  });

  test("never with persist: 'never', nor for memory", async () => {
    const never = { ...before, written: 0, later: 0, status: false };
    assert.deepEqual(await counted({ persist: 'never' }, 'append'), never);
    assert.deepEqual(await counted({ storage: 'memory' }, 'append'), never);
  });
});
