// What can be seen to be wrong is refused whether the lock is free or not, and a frame id means one frame whichever
// way it goes: the queue is no way around either.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { inBrowsers } from './harness.mjs';

/** Frames that no table takes: code, frame, options. */
const BAD = {
  'duplicate names, rows': ['INVALID_FRAME', [{ a: 1, A: 2 }]],
  'duplicate names, columns': ['INVALID_FRAME', { a: [1], A: [2] }],
  'duplicate names, typed arrays': ['INVALID_FRAME', { a: new Float64Array(1), A: new Float64Array(1) }],
  'U+0000 in a name': ['INVALID_ARGUMENT', [{ 'a\0': 1 }]],
  '2,001 columns': [
    'INVALID_FRAME',
    Object.fromEntries(Array.from({ length: 2001 }, (_, i) => [`c${i}`, [1]])),
  ],
  'a key that the frame lacks': ['SCHEMA_MISMATCH', [{ a: 1 }], { mode: 'upsert', key: ['z'] }],
  'replace, beyond int64': ['LOSSY_VALUE', { a: BigUint64Array.of(2n ** 63n) }, { mode: 'replace' }],
  'create, kinds that do not mix': ['INVALID_ARGUMENT', [{ a: 1 }, { a: 'x' }], { mode: 'create' }],
};
const TO_QUEUE = { fallback: 'queue', retry: { attempts: 0 } };

inBrowsers((context) => {
  let tab, other;
  before(async () => {
    [tab, other] = [await context.browser.newTab(), await context.browser.newTab()];
    for (const one of [tab, other]) {
      await one.run(async () => {
        globalThis.testing = await import('/dist/testing/index.js');
        globalThis.db = await framelock.openDatabase('early');
        globalThis.outcome = (promise) =>
          promise.then(({ path }) => path ?? 'resolved').catch(({ code }) => code);
      });
    }
  });

  test('what fits no table is refused while another writer has the lock, and never queued', async () => {
    const ways = [{}, TO_QUEUE];
    const seen = await tab.run(
      async (frames, ways) => {
        const release = await testing.holdWriteLock('early');
        const codes = [];
        for (const [frame, options] of frames) {
          for (const way of ways)
            codes.push(await outcome(db.appendFrame('bad', frame, { ...options, ...way })));
        }
        await release();
        const { queued, rejected } = await db.status();
        return { codes, queued, rejected };
      },
      Object.values(BAD).map(([, frame, options]) => [frame, options]),
      ways,
    );
    const codes = Object.values(BAD).flatMap(([code]) => ways.map(() => code));
    assert.deepEqual(seen, { codes, queued: 0, rejected: 0 });
  });

  test('whenCommitted rejects for a frame that is refused, though another one has its id', async () => {
    const seen = await tab.run(async () => {
      await db.appendFrame('w', [{ v: 'first' }], { frameId: 'w' });
      const release = await testing.holdWriteLock('early');
      const second = await outcome(db.appendFrame('w', [{ v: 'second' }], { frameId: 'w' }));
      const waiting = outcome(db.whenCommitted('w'));
      await release();
      const codes = [second, await waiting, await outcome(db.whenCommitted('w'))];
      const rows = await db.query('SELECT v FROM w');
      // Another handle settles it.
      const other = await framelock.openDatabase('early');
      await other.discardRejected('w');
      await other.close();
      return [...codes, await outcome(db.whenCommitted('w')), rows];
    });
    const conflict = 'FRAME_ID_CONFLICT';
    assert.deepEqual(seen, ['queued', conflict, conflict, 'queued', [{ v: 'first' }]]);
  });

  test('so it does in a tab that queued its frame after another tab, and inside its own transaction', async () => {
    const retry = { attempts: 0 };
    await tab.run(async (retry) => {
      globalThis.release = await testing.holdWriteLock('early');
      await db.appendFrame('x', [{ v: 'a' }], { frameId: 'x', retry });
      globalThis.waiting = outcome(db.whenCommitted('x'));
    }, retry);
    await other.run(async (retry) => {
      await db.appendFrame('x', [{ v: 'b' }], { frameId: 'x', retry });
      globalThis.waiting = outcome(db.whenCommitted('x'));
    }, retry);
    await tab.run(() => release());
    assert.deepEqual(
      [await tab.run(() => waiting), await other.run(() => waiting)],
      ['queued', 'FRAME_ID_CONFLICT'],
    );
    const seen = await tab.run(async () => {
      await db.appendFrame('y', [{ v: 'first' }], { frameId: 'y' });
      const second = await db.transaction(() =>
        outcome(db.appendFrame('y', [{ v: 'second' }], { frameId: 'y' })),
      );
      return [second, await outcome(db.whenCommitted('y')), await db.query('SELECT v FROM y')];
    });
    assert.deepEqual(seen, ['queued', 'FRAME_ID_CONFLICT', [{ v: 'first' }]]);
  });

  test('an id that is known here is so on the way to the queue, too', async () => {
    const seen = await tab.run(async (toQueue) => {
      const send = (v) => outcome(db.appendFrame('z', [{ v }], { frameId: 'z', ...toQueue }));
      await db.appendFrame('z', [{ v: 1 }], { frameId: 'z' });
      return [await send(1), await send(2), (await db.status()).queued];
    }, TO_QUEUE);
    assert.deepEqual(seen, ['duplicate', 'FRAME_ID_CONFLICT', 0]);
  });

  test('lone surrogates are replaced and counted where lossy says so', async () => {
    const seen = await tab.run(async () => {
      const text = ['fine', 'x\ud800', '\udc00y', 'ok'];
      const send = (frame, lossy) =>
        db.appendFrame('surrogates', frame, { lossy }).then(
          ({ coerced }) => coerced,
          ({ code, row }) => [code, row],
        );
      const release = await testing.holdWriteLock('early');
      const queued = await db.appendFrame(
        'surrogates',
        { text },
        { lossy: 'warn', fallback: 'queue', retry: { attempts: 0 } },
      );
      await release();
      const later = (await db.whenCommitted(queued.frameId)).coerced;
      const now = [
        await send({ text }, 'error'),
        await send({ text }, 'warn'),
        await send([{ text: '\ud800' }], 'allow'),
      ];
      const rows = await db.query('SELECT text FROM surrogates ORDER BY rowid');
      return { later, now, texts: rows.map((row) => row.text) };
    });
    const replaced = ['fine', 'x\ufffd', '\ufffdy', 'ok'];
    assert.deepEqual(seen, {
      later: { text: 2 },
      now: [['LOSSY_VALUE', 1], { text: 2 }, { text: 1 }],
      texts: [...replaced, ...replaced, '\ufffd'],
    });
  });

  test('rows without any column are rows of defaults', async () => {
    const seen = await tab.run(async () => {
      await db.exec("CREATE TABLE defaults(a TEXT DEFAULT 'd', b INTEGER DEFAULT 7)");
      const first = await outcome(db.appendFrame('defaults', [{}, {}]));
      await db.exec('CREATE TABLE strict_ones(a TEXT NOT NULL)');
      const second = await outcome(db.appendFrame('strict_ones', [{}]));
      const dropped = await outcome(db.appendFrame('defaults', [{ z: 1 }], { extraColumns: 'drop' }));
      const missing = await outcome(db.appendFrame('defaults', [{}], { missingColumns: 'error' }));
      const rows = await db.query('SELECT * FROM defaults');
      // So many that they are written in pieces, and a trigger's table is told of each time.
      await db.exec(
        'CREATE TABLE log(n); CREATE TRIGGER tr AFTER INSERT ON defaults WHEN new.rowid = 1 BEGIN INSERT INTO log VALUES (1); END',
      );
      const events = [];
      const off = db.on('commit', ({ tables }) => events.push(tables.sort().join()));
      const many = await outcome(db.appendFrame('defaults', Array(500_000).fill({})));
      const again = await outcome(db.appendFrame('defaults', [{}]));
      off();
      const [{ n }] = await db.query('SELECT count(*) AS n FROM defaults');
      return [[first, second, dropped, missing, many, again], rows, n, events];
    });
    const row = { a: 'd', b: 7 };
    const mismatch = 'SCHEMA_MISMATCH';
    assert.deepEqual(seen, [
      ['direct', mismatch, mismatch, mismatch, 'direct', 'direct'],
      [row, row],
      500_003,
      ['defaults,log', 'defaults,log'],
    ]);
  });

  test('close() lets calls that need no lock be answered', async () => {
    const seen = await tab.run(async () => {
      const db = await framelock.openDatabase('early');
      const calls = [db.status(), db.rejected(), db.retryRejected('x'), db.discardRejected('x')];
      const outcomes = Promise.all(calls.map(outcome));
      await db.close();
      return (await outcomes).filter((of) => of === 'CLOSED');
    });
    assert.deepEqual(seen, []);
  });

  test('close() does not wait long for the lock', async () => {
    const seen = await tab.run(async () => {
      const db = await framelock.openDatabase('early');
      const release = await testing.holdWriteLock('early');
      const calls = [
        db.exec('CREATE TABLE never(a)'),
        db.query('SELECT 1'),
        db.whenCommitted('nobody'),
        db.drain(),
      ];
      const outcomes = Promise.all(calls.map(outcome));
      await new Promise((resolve) => setTimeout(resolve, 50));
      const start = performance.now();
      await db.close();
      const ms = performance.now() - start;
      await release();
      return { outcomes: await outcomes, quick: ms < 2500 };
    });
    assert.deepEqual(seen, { outcomes: Array(4).fill('CLOSED'), quick: true });
  });
});
