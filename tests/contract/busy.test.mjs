// A transaction is open in one tab; another tab appends. What the direct rung says, and what becomes of the frame.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { assertAllOnce, namedFrame } from './frames.mjs';
import { inBrowsers } from './harness.mjs';

/** Opens a transaction in `tab` that writes a row and stays open for `ms`; resolves once it is open. */
async function hold(tab, database, ms) {
  await tab.run(
    async (database, ms) => {
      globalThis.holder ??= await framelock.openDatabase(database);
      await new Promise((opened, failed) => {
        globalThis.held = holder
          .transaction(async (tx) => {
            await tx.exec('CREATE TABLE IF NOT EXISTS held(n)');
            await tx.exec('INSERT INTO held VALUES (1)');
            opened();
            await new Promise((resolve) => setTimeout(resolve, ms));
          })
          .catch(failed);
      });
    },
    database,
    ms,
  );
}

const append = (tab, frame, options) =>
  tab.run(
    async (frame, options) => {
      try {
        return await db.appendFrame('t', frame, options);
      } catch ({ code, table, attempts }) {
        return { code, table, attempts };
      }
    },
    frame,
    options,
  );

inBrowsers((context) => {
  let holder, writer;
  before(async () => {
    [holder, writer] = [await context.browser.newTab(), await context.browser.newTab()];
    await writer.run(async () => void (globalThis.db = await framelock.openDatabase('busy')));
  });

  test('fallback none: BUSY with three attempts listed, nothing written; attempts 20: committed', async () => {
    await hold(holder, 'busy', 2000);
    const [refused, patient] = await Promise.all([
      append(writer, namedFrame(0, 0), { fallback: 'none' }),
      append(writer, namedFrame(0, 1), { fallback: 'none', retry: { attempts: 20 } }),
    ]);
    assert.equal(refused.code, 'BUSY');
    assert.equal(refused.table, 't');
    assert.deepEqual(
      refused.attempts.map(({ path, outcome }) => [path, outcome]),
      Array.from({ length: 3 }, () => ['direct', 'busy']),
    );
    for (const { waitedMs } of refused.attempts) assert.ok(waitedMs >= 200, `waited ${waitedMs} ms`);
    assert.equal(patient.path, 'direct');
    assert.equal(patient.attempts.at(-1).outcome, 'committed');
    assert.ok(patient.attempts.length > 3, `${patient.attempts.length} attempts`);
    await holder.run(() => held);
    const rows = await writer.run(() => db.query('SELECT DISTINCT frame FROM t'));
    assert.deepEqual(rows, [{ frame: 1 }]);
  });

  test("a transaction waits for the lock as statements do, whatever the handle's appends do", async () => {
    await hold(holder, 'busy', 1500);
    const { waited, refused, ms } = await writer.run(async () => {
      const impatient = await framelock.openDatabase('busy', { retry: { attempts: 0 } });
      const timed = async (options) => {
        const start = performance.now();
        const error = await db.transaction(async () => {}, options).catch((error) => error);
        return { code: error?.code, ms: performance.now() - start };
      };
      const retry = { attempts: 2, lockTimeoutMs: 100, baseDelayMs: 0 };
      const refused = await Promise.all([timed({ retry }), timed({ timeoutMs: 200 })]);
      const start = performance.now();
      const waited = await Promise.all([db, impatient].map((one) => one.transaction(async () => 'in')));
      const ms = performance.now() - start;
      await impatient.close();
      return { waited, refused, ms };
    });
    assert.deepEqual(waited, ['in', 'in']);
    assert.ok(ms > 800, `${ms} ms`);
    for (const { code, ms } of refused) {
      assert.equal(code, 'BUSY');
      assert.ok(ms >= 190 && ms < 1000, `${ms} ms`);
    }
    await holder.run(() => held);
  });

  test('status and openDatabase do not wait for the lock', async () => {
    await hold(holder, 'busy', 1500);
    const { status, ms } = await writer.run(async () => {
      const start = performance.now();
      const other = await framelock.openDatabase('busy');
      const status = await other.status();
      await other.close();
      return { status, ms: performance.now() - start };
    });
    assert.equal(status.holder, 'other-tab');
    assert.equal(status.storage, 'opfs');
    assert.ok(ms < 1200, `${ms} ms`);
    await holder.run(() => held);
  });

  test('a deadline and a signal end the wait; nothing is written', async () => {
    await writer.run(() => db.exec('DELETE FROM t'));
    await hold(holder, 'busy', 1500);
    const late = await append(writer, namedFrame(0, 2), {
      fallback: 'none',
      retry: { attempts: 100, deadlineMs: 300 },
    });
    assert.equal(late.code, 'TIMEOUT');
    const aborted = await writer.run(
      async (frame) => {
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 100);
        return db.appendFrame('t', frame, { signal: controller.signal }).catch(({ code }) => code);
      },
      namedFrame(0, 3),
    );
    assert.equal(aborted, 'ABORTED');
    const busy = await writer.run(() =>
      db.query('SELECT 1', [], { timeoutMs: 50 }).catch(({ code }) => code),
    );
    assert.equal(busy, 'BUSY');
    await holder.run(() => held);
    assert.deepEqual(await writer.run(() => db.query('SELECT count(*) AS n FROM t')), [{ n: 0 }]);
  });

  test('behind a long query of the same handle: at its deadline, and nothing is written later', async () => {
    const [late, order, left] = await writer.run(
      async (frame) => {
        await db.exec('DELETE FROM t');
        const order = [];
        const query = db
          .query(
            'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000000) SELECT max(i) AS most FROM n',
          )
          .then(() => order.push('query'));
        const began = performance.now();
        const append = db.appendFrame('t', frame, { retry: { deadlineMs: 200 } }).catch((error) => error);
        const { code, table } = await append;
        order.push('append');
        const ms = performance.now() - began;
        await query;
        return [{ code, table, ms }, order, await db.query('SELECT count(*) AS n FROM t')];
      },
      namedFrame(0, 4),
    );
    const { ms, ...rest } = late;
    assert.deepEqual(rest, { code: 'TIMEOUT', table: 't' });
    assert.ok(ms >= 200 && ms < 1000, `${ms} ms`);
    assert.deepEqual([order, left], [['append', 'query'], [{ n: 0 }]]);
  });

  test('a page whose clock a test has set or stopped, before or after it loads: its deadlines are the real ones', async () => {
    const tab = await context.browser.newTab();
    const append = () =>
      tab.run(async () => {
        const db = await framelock.openDatabase('clock');
        performance.now = () => 0;
        Date.now = () => 0;
        await new Promise((resolve) => setTimeout(resolve, 500));
        const receipt = await db.appendFrame('t', { n: [1] }, { retry: { deadlineMs: 400 } });
        await db.close();
        return receipt.path;
      });
    assert.equal(await append(), 'direct');
    await tab.page.evaluateOnNewDocument(() => {
      const year = 1000 * 3600 * 24 * 365;
      const origin = performance.timeOrigin - year;
      Object.defineProperty(performance, 'timeOrigin', { get: () => origin });
    });
    await tab.load();
    assert.equal(await append(), 'direct');
    await tab.close();
  });

  test('an idle holder gives the lock up when asked', async () => {
    const hold = await holder.run(async () => {
      await holder.exec('INSERT INTO held VALUES (2)');
      return (await holder.status()).lock;
    });
    assert.equal(hold, 'held');
    const receipt = await append(writer, namedFrame(0, 4), { fallback: 'none' });
    assert.equal(receipt.path, 'direct');
    // One attempt on a quiet machine; 600 ms of patience on a loaded one.
    assert.ok(receipt.attempts.length <= 3);
  });

  test('100 frames while a tab holds a transaction for 10 s: handed over or queued, all there once', async () => {
    const database = 'held';
    await holder.run(() => holder.close().then(() => void delete globalThis.holder));
    await hold(holder, database, 10_000);
    const frames = Array.from({ length: 100 }, (_, frame) => namedFrame(1, frame));
    const { receipts, slowest } = await writer.run(
      async (database, frames) => {
        globalThis.other = await framelock.openDatabase(database);
        let slowest = 0;
        const receipts = await Promise.all(
          frames.map(async (frame) => {
            const start = performance.now();
            const receipt = await other.appendFrame('t', frame);
            slowest = Math.max(slowest, performance.now() - start);
            return receipt;
          }),
        );
        return { receipts, slowest };
      },
      database,
      frames,
    );
    assert.ok(slowest < 15_000, `slowest ${slowest} ms`);
    for (const { path } of receipts) assert.ok(['handoff', 'queued'].includes(path), path);
    await holder.run(() => held);
    const committed = await writer.run(
      (ids) => Promise.all(ids.map((id) => other.whenCommitted(id))),
      receipts.map((receipt) => receipt.frameId),
    );
    assert.ok(committed.every((receipt) => receipt.committed));
    await assertAllOnce(writer, database, 100);
    const dump = (database) =>
      writer.run(async (database) => {
        const db = await framelock.openDatabase(database);
        const rows = await db.query(`
          SELECT typeof(writer) || quote(writer) || typeof(frame) || quote(frame) || typeof(row)
            || quote(row) || typeof(note) || quote(note) AS stored FROM t ORDER BY rowid`);
        const types = await db.query(
          'SELECT column_name, hex(field) AS field FROM _framelock_columns ORDER BY 1',
        );
        await db.close();
        return { rows, types };
      }, database);
    await writer.run(async (frames) => {
      const db = await framelock.openDatabase('twin');
      for (const frame of frames) await db.appendFrame('t', frame);
      await db.close();
    }, frames);
    assert.deepEqual(await dump(database), await dump('twin'));
  });
});
