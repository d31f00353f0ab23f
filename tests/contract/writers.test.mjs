// Several tabs write to one table at once: the main job, by the direct rung and with little patience.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAllOnce, namedFrame, paths } from './frames.mjs';
import { inBrowsers, sqlite3 } from './harness.mjs';

const TABS = 4;
const FRAMES = 50;

/** Every tab appends its frames, one after the other; gives all receipts. */
async function appendFromAll(tabs, database, options) {
  await Promise.all(
    tabs.map((tab) =>
      tab.run(async (database) => {
        globalThis.db = await framelock.openDatabase(database);
      }, database),
    ),
  );
  const perTab = await Promise.all(
    tabs.map((tab, writer) =>
      tab.run(
        async (frames, options) => {
          const receipts = [];
          for (const frame of frames) receipts.push(await db.appendFrame('t', frame, options));
          return receipts;
        },
        Array.from({ length: FRAMES }, (_, frame) => namedFrame(writer, frame)),
        options,
      ),
    ),
  );
  return perTab.flat();
}

inBrowsers((context) => {
  test('4 tabs x 50 frames x 100 rows: every receipt direct, every row once and in order', async () => {
    const tabs = await Promise.all(Array.from({ length: TABS }, () => context.browser.newTab()));
    const receipts = await appendFromAll(tabs, 'writers', {});
    assert.deepEqual(paths(receipts), { direct: TABS * FRAMES });
    assert.ok(receipts.every((receipt) => receipt.committed && receipt.rows === 100));
    await assertAllOnce(tabs[0], 'writers', TABS * FRAMES);
    const file = await tabs[1].download(() => db.exportFile());
    assert.equal(sqlite3(file, 'PRAGMA integrity_check'), 'ok');
    assert.deepEqual(
      tabs.flatMap((tab) => tab.errors),
      [],
    );
    await Promise.all(tabs.map((tab) => tab.close()));
  });

  test('with a lock timeout of 5 ms: other paths, every row still once and in order', async () => {
    const tabs = await Promise.all(Array.from({ length: TABS }, () => context.browser.newTab()));
    const retry = { lockTimeoutMs: 5, baseDelayMs: 1 };
    const receipts = await appendFromAll(tabs, 'impatient', { retry });
    const pending = receipts.filter((receipt) => !receipt.committed).map((receipt) => receipt.frameId);
    const later = await tabs[0].run((ids) => Promise.all(ids.map((id) => db.whenCommitted(id))), pending);
    assert.ok(later.every((receipt) => receipt.committed));
    await assertAllOnce(tabs[0], 'impatient', TABS * FRAMES);
    await Promise.all(tabs.map((tab) => tab.close()));
  });
});
