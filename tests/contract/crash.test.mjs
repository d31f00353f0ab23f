// Renderers are killed with SIGKILL at bad moments. Every receipt that was given is kept, once, in order; nothing of a
// dead transaction stays; and whoever lives on can write soon.
// KILL_ROUNDS=20 makes it 20 rounds of each way to die, KILL_ROWS=5000 larger frames, KILL_SEED=7 begins with another
// seed; scripts/campaign.mjs goes on for hours.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inBrowsers, sqlite3 } from './harness.mjs';
import { Killing, Ledger, SCENARIOS } from './kills.mjs';

const ROUNDS = Number(process.env.KILL_ROUNDS ?? 1);
const SEED = Number(process.env.KILL_SEED ?? 1);
/** Another tab writes within this time of the holder's death. */
const RECOVERY_MS = 2000;

const ledger = new Ledger();

inBrowsers(
  (context) => {
    test('the holder dies in a transaction whose journal is on disk: undone, and another tab writes soon', async (t) => {
      const [holder, writer] = [await context.browser.newTab(), await context.browser.newTab()];
      await sleep(300);
      const pid = await holder.processId();
      await writer.run(async () => {
        globalThis.db = await framelock.openDatabase('journal');
        await db.exec(`
          CREATE TABLE big(id INTEGER PRIMARY KEY, pad BLOB);
          WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
          INSERT INTO big SELECT i, zeroblob(8000) FROM n`);
        await db.appendFrame('t', { a: [1, 2, 3] });
      });
      // More than 32 MiB, so that the journal and some of the changes must be written out.
      const sizes = await holder.run(async () => {
        const db = await framelock.openDatabase('journal');
        await new Promise((opened, failed) => {
          db.transaction(async (tx) => {
            await tx.appendFrame('t', { a: [666] });
            await tx.exec('UPDATE big SET pad = randomblob(8000)');
            opened();
            await new Promise(() => {});
          }).catch(failed);
        });
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('framelock');
        const size = async (name) => (await (await folder.getFileHandle(name)).getFile()).size;
        return { database: await size('journal'), journal: await size('journal-journal') };
      });
      assert.ok(sizes.journal > 4 << 20, `the journal has ${sizes.journal} bytes`);
      await holder.kill(pid);
      const start = performance.now();
      const receipt = await writer.run(() =>
        db.appendFrame('t', { a: [4] }, { fallback: 'none', retry: { attempts: 1000 } }),
      );
      const ms = performance.now() - start;
      t.diagnostic(`${context.name}: another tab had written ${ms.toFixed(0)} ms after the kill`);
      assert.equal(receipt.path, 'direct');
      const seen = await writer.run(async () => ({
        rows: await db.query('SELECT a FROM t ORDER BY rowid'),
        pads: await db.query('SELECT count(*) AS n FROM big WHERE pad <> zeroblob(8000)'),
      }));
      assert.deepEqual(
        seen.rows.map(({ a }) => a),
        [1n, 2n, 3n, 4n],
      );
      assert.deepEqual(seen.pads, [{ n: 0 }]);
      const file = await writer.download(() => db.exportFile());
      assert.equal(sqlite3(file, 'PRAGMA integrity_check'), 'ok');
      assert.ok(ms < RECOVERY_MS, `${ms} ms`);
      await writer.close();
    });

    describe(`${ROUNDS} rounds each`, () => {
      let killing;
      for (const scenario of Object.keys(SCENARIOS)) {
        test(`killed: ${scenario}`, async (t) => {
          killing ??= new Killing({ browser: context.browser, ledger, seed: SEED });
          for (let round = 0; round < ROUNDS; round++) {
            const { receipts, frames, paths } = await killing.run(scenario);
            t.diagnostic(`${receipts} receipts, ${frames} frames there: ${JSON.stringify(paths)}`);
          }
        });
      }
    });
  },
  { intercept: ledger.intercept },
);
