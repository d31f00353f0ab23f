// live: rows that follow the commits of every tab, once for many commits, and only those that matter.
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { inBrowsers } from './harness.mjs';

inBrowsers((context) => {
  let watcher, writer;
  before(async () => {
    [watcher, writer] = [await context.browser.newTab(), await context.browser.newTab()];
  });

  let number = 0;
  beforeEach(async () => {
    const name = `live-${++number}`;
    for (const tab of [watcher, writer]) {
      await tab.run(async (name) => {
        await globalThis.db?.close();
        globalThis.db = await framelock.openDatabase(name);
      }, name);
    }
    await watcher.run(async () => {
      globalThis.runs = [];
      globalThis.errors = [];
      /** Starts a live query whose results and errors are collected. */
      globalThis.watch = (sql, params = [], options = {}) => {
        const onError = (error) => errors.push(error.code);
        globalThis.stop = framelock.live(db, sql, params, (rows) => runs.push(rows), { onError, ...options });
      };
      /** Waits until the last result says this. */
      globalThis.until = async (isDone, ms = 8000) => {
        for (const end = performance.now() + ms; !isDone(runs.at(-1));) {
          if (performance.now() > end) throw new Error(`last result: ${JSON.stringify(runs.at(-1) ?? null)}`);
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        return runs.length;
      };
      globalThis.quiet = (ms = 400) => new Promise((resolve) => setTimeout(resolve, ms));
    });
  });

  const exec = (tab, sql) => tab.run((sql) => db.exec(sql).then(() => {}), sql);

  test('it runs at once, and after commits of this tab and of another one', async () => {
    await exec(writer, 'CREATE TABLE t(n)');
    await watcher.run(async () => {
      watch('SELECT count(*) AS n FROM t');
      await until((rows) => rows?.[0].n === 0);
      await db.exec('INSERT INTO t VALUES (1)');
      await until((rows) => rows[0].n === 1);
    });
    await exec(writer, 'INSERT INTO t VALUES (2)');
    await watcher.run(() => until((rows) => rows[0].n === 2).then(() => {}));
    await writer.run(() => db.appendFrame('t', [{ n: 3 }, { n: 4 }]).then(() => {}));
    await watcher.run(() => until((rows) => rows[0].n === 4).then(() => {}));
    await writer.run(() =>
      db.transaction(async (tx) => {
        await tx.appendFrame('t', [{ n: 5 }]);
        await tx.exec('DELETE FROM t WHERE n = 1');
        await tx.exec('DELETE FROM t WHERE n = 2');
      }),
    );
    await watcher.run(() => until((rows) => rows[0].n === 3).then(() => {}));
    assert.deepEqual(await watcher.run(() => errors), []);
  });

  test('a commit to another table is none of its business; views, joins and subqueries are', async () => {
    await exec(
      writer,
      `CREATE TABLE a(n); CREATE TABLE b(n); CREATE TABLE c(n); CREATE TABLE other(n);
       CREATE INDEX c_n ON c(n); CREATE VIEW v AS SELECT n FROM b`,
    );
    await watcher.run(async () => {
      watch(
        `SELECT (SELECT count(*) FROM A) + (SELECT count(*) FROM v) + count(*) AS n
             FROM "c" WHERE n > ?`,
        [0],
      );
      await until((rows) => rows?.[0].n === 0);
    });
    // The tables' own commit may be heard of after the first run began.
    const before = await watcher.run(() => quiet().then(() => runs.length));
    await exec(writer, 'INSERT INTO other VALUES (1)');
    assert.equal(await watcher.run(() => quiet().then(() => runs.length)), before);
    let expected = 0;
    for (const table of ['a', 'B', 'c']) {
      await exec(writer, `INSERT INTO ${table} VALUES (1)`);
      await watcher.run((n) => until((rows) => rows[0].n === n).then(() => {}), ++expected);
    }
  });

  test('a view that is made anew is another one', async () => {
    await exec(
      writer,
      'CREATE TABLE a(n); CREATE TABLE b(n); CREATE VIEW v AS SELECT n FROM a; INSERT INTO b VALUES (1)',
    );
    await watcher.run(async () => {
      watch('SELECT count(*) AS n FROM v');
      await until((rows) => rows?.[0].n === 0);
    });
    await exec(writer, 'DROP VIEW v; CREATE VIEW v AS SELECT n FROM b');
    await watcher.run(() => until((rows) => rows[0].n === 1).then(() => {}));
    await exec(writer, 'INSERT INTO b VALUES (2)');
    await watcher.run(() => until((rows) => rows[0].n === 2).then(() => {}));
  });

  test('many commits, few runs; the last run has seen them all', async () => {
    await exec(writer, 'CREATE TABLE t(n)');
    await watcher.run(async () => {
      watch('SELECT count(*) AS n FROM t');
      await until((rows) => rows?.[0].n === 0);
    });
    await Promise.all(
      [writer, watcher].map((tab) =>
        tab.run(async () => {
          const frames = Array.from({ length: 50 }, (_, n) => db.appendFrame('t', [{ n }]));
          await Promise.all(frames);
        }),
      ),
    );
    const seen = await watcher.run(async () => {
      await until((rows) => rows[0].n === 100);
      await quiet();
      const before = runs.length;
      await quiet();
      return { before, after: runs.length };
    });
    assert.equal(seen.after, seen.before, 'nothing runs when nothing happens');
    assert.ok(seen.before < 50, `${seen.before} runs`);
  });

  test('a table that is not there yet: an error, and rows once it is', async () => {
    await watcher.run(async () => {
      watch('SELECT n FROM later');
      for (let i = 0; i < 200 && errors.length === 0; i++) await quiet(10);
    });
    assert.deepEqual(await watcher.run(() => errors), ['SQL']);
    await writer.run(() => db.appendFrame('later', [{ n: 1 }]).then(() => {}));
    await watcher.run(() => until((rows) => rows?.length === 1).then(() => {}));
    await writer.run(() => db.appendFrame('later', [{ n: 2 }, { n: 3 }], { mode: 'replace' }).then(() => {}));
    await watcher.run(() => until((rows) => rows.length === 2).then(() => {}));
  });

  test('what one callback throws does not end it', async () => {
    await exec(writer, 'CREATE TABLE t(n)');
    const calls = await watcher.run(async () => {
      globalThis.addEventListener('error', (event) => event.preventDefault(), { once: true });
      let calls = 0;
      const stop = framelock.live(db, 'SELECT n FROM t', [], (rows) => {
        calls += 1;
        runs.push(rows);
        if (calls === 1) throw new Error('of the callback');
      });
      await until((rows) => rows?.length === 0);
      await db.exec('INSERT INTO t VALUES (1)');
      await until((rows) => rows.length === 1);
      stop();
      return calls;
    });
    assert.equal(calls, 2);
  });

  test('it ends: by its function, by a signal, by closing the database', async () => {
    await exec(writer, 'CREATE TABLE t(n)');
    const counts = await watcher.run(async () => {
      const counts = [0, 0, 0];
      const controller = new AbortController();
      const another = await framelock.openDatabase(db.name);
      const count = (i) => () => void (counts[i] += 1);
      const stop = framelock.live(db, 'SELECT n FROM t', [], count(0));
      framelock.live(db, 'SELECT n FROM t', [], count(1), { signal: controller.signal });
      framelock.live(another, 'SELECT n FROM t', [], count(2));
      while (!counts.every((n) => n === 1)) await quiet(10);
      stop();
      stop();
      controller.abort();
      await another.close();
      await db.exec('INSERT INTO t VALUES (1)');
      await quiet();
      framelock.live(db, 'SELECT n FROM t', [], count(0), { signal: controller.signal });
      await quiet();
      return counts;
    });
    assert.deepEqual(counts, [1, 1, 1]);
  });

  test('while the lock is taken it waits, says BUSY, and comes back by itself', async () => {
    await exec(writer, 'CREATE TABLE t(n)');
    await writer.run(
      () =>
        new Promise((open, failed) => {
          globalThis.held = db.transaction(async (tx) => {
            await tx.exec('INSERT INTO t VALUES (1)');
            open();
            await new Promise((resolve) => setTimeout(resolve, 1500));
          });
          held.catch(failed);
        }),
    );
    const seen = await watcher.run(async () => {
      watch('SELECT n FROM t', [], { timeoutMs: 200 });
      await until((rows) => rows?.length === 1);
      return errors;
    });
    await writer.run(() => held);
    assert.ok(seen.length > 0 && seen.every((code) => code === 'BUSY'), String(seen));
  });

  test('what writes is refused, and wrong arguments are', async () => {
    await exec(writer, 'CREATE TABLE t(n)');
    const seen = await watcher.run(async () => {
      watch('INSERT INTO t VALUES (1) RETURNING n');
      while (errors.length === 0) await quiet(10);
      const codes = [
        () => framelock.live(db, 1, [], () => {}),
        () => framelock.live(db, 'SELECT 1', [], 'no function'),
        () => framelock.live(db, 'SELECT 1', [], () => {}, { onerror: () => {} }),
        () => framelock.live(db, 'SELECT 1', [], () => {}, { int64: 'text' }),
      ].map((call) => {
        try {
          return call();
        } catch ({ code }) {
          return code;
        }
      });
      const [{ n }] = await db.query('SELECT count(*) AS n FROM t');
      return { errors, codes, n };
    });
    assert.deepEqual(seen, { errors: ['INVALID_ARGUMENT'], codes: Array(4).fill('INVALID_ARGUMENT'), n: 0 });
  });
});
