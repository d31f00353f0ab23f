// The wasm's memory runs out: the engine's own file, but with a memory that may not grow beyond a few megabytes, as
// where a device has no more.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { dist } from '../../scripts/toolchain.mjs';
import { inBrowsers } from './harness.mjs';

/** An unsigned LEB128 number and where it ends (WebAssembly core specification, 5.2.2). */
function readLeb(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return [value, at];
  }
}

function leb(value) {
  const bytes = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

/** A module whose only memory has `pages` pages of 64 KiB at most, or so many more than it begins with. */
function limited(bytes, { pages, more }) {
  for (let at = 8; at < bytes.length;) {
    const [size, start] = readLeb(bytes, at + 1);
    const end = start + size;
    if (bytes[at] === 5) {
      assert.deepEqual([...bytes.subarray(start, start + 2)], [1, 0], 'one memory without a maximum');
      const [least] = readLeb(bytes, start + 2);
      const memory = [1, 1, ...leb(least), ...leb(pages ?? least + more)];
      const head = bytes.subarray(0, at + 1);
      return Buffer.concat([head, Buffer.from([...leb(memory.length), ...memory]), bytes.subarray(end)]);
    }
    at = end;
  }
  throw new Error('the module has no memory');
}

/** 64 MB in all. */
const SMALL = { wasmUrl: '/small.wasm?pages=1024' };

function intercept(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://x');
  if (pathname !== '/small.wasm') return false;
  const limit = Object.fromEntries([...searchParams].map(([name, value]) => [name, Number(value)]));
  const bytes = readFileSync(join(dist, 'framelock_wasm_bg.wasm'));
  response.writeHead(200, { 'Content-Type': 'application/wasm' }).end(limited(bytes, limit));
  return true;
}

inBrowsers(
  (context) => {
    let tab;
    before(async () => {
      tab = await context.browser.newTab();
      await tab.run(() => {
        /** A frame of so many megabytes of numbers. */
        globalThis.megabytes = (count) => ({ a: new Float64Array(count * 2 ** 17) });
        /** Collects the workers that are started; `Own` is to be put back. */
        globalThis.collectWorkers = () => {
          const [workers, Own] = [[], globalThis.Worker];
          globalThis.Worker = class extends Own {
            constructor(...args) {
              super(...args);
              workers.push(this);
            }
          };
          return { workers, Own };
        };
        globalThis.codeOf = (promise) =>
          promise.then(({ path }) => path ?? 'resolved').catch(({ code }) => code);
      });
    });

    test('out of memory: WORKER_FAILED, nothing of the frame is in, and the handle goes on', async () => {
      const seen = await tab.run(async (options) => {
        const db = await framelock.openDatabase('small', options);
        const commits = [];
        db.on('commit', ({ frameIds }) => commits.push(...frameIds));
        const paths = [];
        for (const count of [2, 64, 100]) {
          paths.push(await codeOf(db.appendFrame('t', megabytes(count), { frameId: `large-${count}` })));
          paths.push(await codeOf(db.appendFrame('t', { a: [1, 2, 3] }, { frameId: `small-${count}` })));
        }
        // What failed may be sent again.
        paths.push(await codeOf(db.appendFrame('t', { a: [4] }, { frameId: 'large-64' })));
        // SQLite has no memory for it: an error like any other.
        const sql = await codeOf(db.query(`SELECT zeroblob(${100 * 2 ** 20}) AS z`));
        const cell = await codeOf(db.appendFrame('b', { z: [new Uint8Array(80 * 2 ** 20)] }));
        const [{ rows }] = await db.query('SELECT count(*) AS rows FROM t');
        const [{ integrity_check: integrity }] = await db.query('PRAGMA integrity_check');
        const tables = await db.query("SELECT name FROM sqlite_schema WHERE name IN ('t', 'b')");
        await db.close();
        const closed = await codeOf(db.query('SELECT 1'));
        return { paths, sql, cell, rows, integrity, tables: tables.length, commits, closed };
      }, SMALL);
      const failed = ['WORKER_FAILED', 'direct'];
      assert.deepEqual(seen.paths, ['direct', 'direct', ...failed, ...failed, 'direct']);
      assert.deepEqual([seen.sql, seen.cell], ['WORKER_FAILED', 'WORKER_FAILED']);
      assert.equal(seen.rows, 2 * 2 ** 17 + 3 * 3 + 1);
      assert.deepEqual([seen.integrity, seen.tables], ['ok', 1]);
      // Whoever listened listens to the next worker.
      assert.deepEqual(seen.commits, [
        'large-2',
        ...[2, 64, 100].map((count) => `small-${count}`),
        'large-64',
      ]);
      assert.equal(seen.closed, 'CLOSED');
    });

    test('wherever it runs out: the frame is in as a whole or not at all', async (t) => {
      const seen = await tab.run(async () => {
        const db = await framelock.openDatabase('anywhere');
        await db.exec('CREATE TABLE t(a, b)');
        const count = async () => (await db.query('SELECT count(*) AS n FROM t'))[0].n;
        const rows = 20_000;
        const a = Int32Array.from({ length: rows }, (_, i) => i);
        const frame = { a, b: Array.from(a, (i) => `text ${i}`) };
        const outcomes = {};
        let wanted = 0;
        // Pages of 64 KiB beyond what the engine begins with: too few to open, to take the frame, to write it.
        for (let more = 0; more < 130; more += 5) {
          const options = { wasmUrl: `/small.wasm?more=${more}` };
          const poor = await framelock.openDatabase('anywhere', options).catch(({ code }) => ({ code }));
          let outcome = `open ${poor.code}`;
          if (poor.code === undefined) {
            outcome = await codeOf(poor.appendFrame('t', frame));
            if (outcome === 'direct') wanted += rows;
            await poor.close();
          }
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
          if ((await count()) !== wanted)
            throw new Error(`${more}: ${outcome}, and ${await count()} rows are in`);
        }
        const [{ integrity_check: integrity }] = await db.query('PRAGMA integrity_check');
        await db.close();
        return { outcomes, integrity };
      });
      t.diagnostic(JSON.stringify(seen.outcomes));
      assert.equal(seen.integrity, 'ok');
      const { direct, WORKER_FAILED, ...others } = seen.outcomes;
      assert.ok(direct > 0 && WORKER_FAILED > 3, JSON.stringify(seen.outcomes));
      assert.deepEqual(
        Object.keys(others).filter((outcome) => outcome !== 'open WORKER_FAILED'),
        [],
      );
    });

    test('a transaction ends with its worker, and another one begins in the next', async () => {
      const seen = await tab.run(async (options) => {
        const db = await framelock.openDatabase('small-tx', options);
        await db.exec('CREATE TABLE t(a)');
        let next;
        const first = db.transaction(async (tx) => {
          await tx.exec('INSERT INTO t VALUES (1)');
          await tx.appendFrame('t', megabytes(64)).catch(() => {
            // It has the same number in its worker as the first one had.
            next = db.transaction(async (tx) => {
              await tx.exec('INSERT INTO t VALUES (2)');
              await new Promise((resolve) => setTimeout(resolve, 200));
              await tx.exec('INSERT INTO t VALUES (3)');
            });
          });
          await next;
        });
        const codes = [await codeOf(first), await codeOf(next.then(() => ({})))];
        const rows = await db.query('SELECT a FROM t');
        await db.close();
        return { codes, rows: rows.map(({ a }) => a) };
      }, SMALL);
      assert.deepEqual(seen, { codes: ['WORKER_FAILED', 'resolved'], rows: [2, 3] });
    });

    test('a worker that is ended from outside: its calls fail at once, and the handle goes on', async () => {
      const seen = await tab.run(async () => {
        const { workers, Own } = collectWorkers();
        try {
          const db = await framelock.openDatabase('ended');
          await db.appendFrame('t', { a: [1] });
          const start = performance.now();
          const calls = [
            db.transaction(async (tx) => {
              await tx.appendFrame('t', { a: [2] });
              workers[0].terminate();
              await tx.query('SELECT 1');
            }),
            db.appendFrame('t', { a: [3] }),
            db.query('SELECT * FROM t'),
          ];
          const codes = await Promise.all(calls.map(codeOf));
          const late = performance.now() - start > 3000;
          const after = await codeOf(db.appendFrame('t', { a: [4] }));
          const rows = await db.query('SELECT a FROM t');
          await db.close();
          return { codes, late, after, rows: rows.map(({ a }) => Number(a)), workers: workers.length };
        } finally {
          globalThis.Worker = Own;
        }
      });
      const failed = Array(3).fill('WORKER_FAILED');
      assert.deepEqual(seen, { codes: failed, late: false, after: 'direct', rows: [1, 4], workers: 2 });
    });

    test('a handle that only listens has another worker after a while', async () => {
      const seen = await tab.run(async (options) => {
        const later = globalThis.setTimeout;
        // Ten seconds are one here.
        globalThis.setTimeout = (work, ms, ...rest) => later(work, ms === 10_000 ? 1000 : ms, ...rest);
        try {
          const db = await framelock.openDatabase('small-listens', options);
          const other = await framelock.openDatabase('small-listens');
          const heard = new Promise((resolve) => db.on('commit', ({ frameIds }) => resolve(frameIds)));
          const code = await codeOf(db.appendFrame('t', megabytes(64)));
          await new Promise((resolve) => later(resolve, 2000));
          await other.appendFrame('t', { a: [1] }, { frameId: 'heard' });
          const frameIds = await Promise.race([
            heard,
            new Promise((resolve) => later(resolve, 5000, 'nothing')),
          ]);
          await Promise.all([db.close(), other.close()]);
          return [code, frameIds];
        } finally {
          globalThis.setTimeout = later;
        }
      }, SMALL);
      assert.deepEqual(seen, ['WORKER_FAILED', ['heard']]);
    });

    test('live queries go on in the next worker, whenever the last one died', async () => {
      const seen = await tab.run(async (options) => {
        const { workers, Own } = collectWorkers();
        const later = globalThis.setTimeout;
        globalThis.setTimeout = (work, ms, ...rest) => later(work, ms === 10_000 ? 500 : ms, ...rest);
        try {
          const db = await framelock.openDatabase('small-live', options);
          const other = await framelock.openDatabase('small-live');
          await other.exec('CREATE TABLE t(a)');
          const [runs, errors] = [[], []];
          const onError = ({ code }) => errors.push(code);
          const stop = framelock.live(db, 'SELECT count(*) AS n FROM t', [], ([{ n }]) => runs.push(n), {
            onError,
          });
          const until = async (n) => {
            for (let i = 0; i < 300 && runs.at(-1) !== n; i++)
              await new Promise((resolve) => later(resolve, 20));
            return runs.at(-1);
          };
          const counts = [await until(0)];
          // While nothing runs; what another one commits before the next worker is there is not heard of.
          workers[0].terminate();
          await other.exec('INSERT INTO t VALUES (1)');
          counts.push(await until(1));
          // While it runs.
          await Promise.all([
            codeOf(db.appendFrame('t', megabytes(64))),
            other.exec('INSERT INTO t VALUES (2)'),
          ]);
          counts.push(await until(2));
          stop();
          await Promise.all([db.close(), other.close()]);
          return { counts, errors: [...new Set(errors)].filter((code) => code !== 'WORKER_FAILED') };
        } finally {
          [globalThis.Worker, globalThis.setTimeout] = [Own, later];
        }
      }, SMALL);
      assert.deepEqual(seen, { counts: [0, 1, 2], errors: [] });
    });

    test('live queries and listeners go on after a while in which no worker could be had', async () => {
      const seen = await tab.run(async () => {
        const { workers, Own } = collectWorkers();
        const later = globalThis.setTimeout;
        globalThis.setTimeout = (work, ms, ...rest) => later(work, ms === 10_000 ? 300 : ms, ...rest);
        try {
          const db = await framelock.openDatabase('no-worker');
          const other = await framelock.openDatabase('no-worker');
          await other.exec('CREATE TABLE t(a)');
          const [runs, errors, commits] = [[], [], []];
          db.on('commit', ({ frameIds }) => commits.push(...frameIds));
          const sql = 'SELECT count(*) AS n FROM t';
          const onError = ({ code }) => errors.push(code);
          const watch = (nth) => framelock.live(db, sql, [], ([{ n }]) => (runs[nth] = n), { onError });
          const until = async (...wanted) => {
            for (let i = 0; i < 300 && runs.join() !== wanted.join(); i++)
              await new Promise((resolve) => later(resolve, 20));
            return runs.join();
          };
          const stops = [watch(0)];
          const counts = [await until(0)];
          const Collecting = globalThis.Worker;
          let tries = 0;
          globalThis.Worker = class {
            constructor() {
              tries += 1;
              throw new Error('none to be had');
            }
          };
          workers[0].terminate();
          await new Promise((resolve) => later(resolve, 1500));
          stops.push(watch(1));
          await new Promise((resolve) => later(resolve, 1500));
          const code = await codeOf(db.query(sql));
          globalThis.Worker = Collecting;
          await other.appendFrame('t', { a: [1] }, { frameId: 'unheard' });
          counts.push(await until(1, 1));
          await other.appendFrame('t', { a: [2] }, { frameId: 'heard' });
          counts.push(await until(2, 2));
          for (const stop of stops) stop();
          await Promise.all([db.close(), other.close()]);
          const others = errors.filter((code) => code !== 'WORKER_FAILED');
          return { counts, code, said: errors.length > 0, others, commits, isLoad: tries > 20 };
        } finally {
          [globalThis.Worker, globalThis.setTimeout] = [Own, later];
        }
      });
      assert.deepEqual(seen, {
        counts: ['0', '1,1', '2,2'],
        code: 'WORKER_FAILED',
        said: true,
        others: [],
        commits: ['heard'],
        isLoad: false,
      });
    });

    test('a database that was deleted meanwhile is lost, and not silently empty', async () => {
      const codes = await tab.run(async (options) => {
        const db = await framelock.openDatabase('small-gone', options);
        const codes = [
          await codeOf(db.appendFrame('t', { a: [1] })),
          await codeOf(db.appendFrame('t', megabytes(64))),
        ];
        await framelock.deleteDatabase('small-gone');
        codes.push(await codeOf(db.appendFrame('t', { a: [2] })), await codeOf(db.query('SELECT 1')));
        await db.close();
        return [...codes, (await framelock.listDatabases()).includes('small-gone')];
      }, SMALL);
      assert.deepEqual(codes, ['direct', 'WORKER_FAILED', 'STORAGE_LOST', 'STORAGE_LOST', false]);
    });

    test('what was queued comes before what the next worker appends', async () => {
      const rows = await tab.run(async (options) => {
        const db = await framelock.openDatabase('small-queue', options);
        const other = await framelock.openDatabase('small-queue');
        await other.exec('CREATE TABLE t(a)');
        const large = megabytes(64);
        await other.transaction(async () => {
          const queued = await db.appendFrame('t', { a: [1] }, { fallback: 'queue', retry: { attempts: 0 } });
          if (queued.path !== 'queued') throw new Error(queued.path);
          await codeOf(db.appendFrame('t', large));
        });
        await db.appendFrame('t', { a: [2] });
        const rows = await db.query('SELECT a FROM t ORDER BY rowid');
        await Promise.all([db.close(), other.close()]);
        return rows.map(({ a }) => Number(a));
      }, SMALL);
      assert.deepEqual(rows, [1, 2]);
    });

    test('a database in memory is gone with its worker: never silently empty', async () => {
      const codes = await tab.run(async (options) => {
        const db = await framelock.openDatabase('ram', { ...options, storage: 'memory' });
        const codes = [await codeOf(db.appendFrame('t', { a: [1] }))];
        codes.push(await codeOf(db.appendFrame('t', megabytes(64))));
        codes.push(await codeOf(db.query('SELECT 1')), await codeOf(db.appendFrame('t', { a: [1] })));
        await db.close();
        return codes;
      }, SMALL);
      assert.deepEqual(codes, ['direct', 'WORKER_FAILED', 'WORKER_FAILED', 'WORKER_FAILED']);
    });

    test('huge frames: a value of 512 MiB, ten million rows, 2,000 columns', async () => {
      const seen = await tab.run(async () => {
        const db = await framelock.openDatabase('huge');
        const rows = 10_000_000;
        const id = Int32Array.from({ length: rows }, (_, i) => i);
        const wide = (count) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`c${i}`, [i]]));
        const patient = { retry: { deadlineMs: 120_000 } };
        const paths = [
          await codeOf(db.appendFrame('value', { z: [new Uint8Array(512 * 2 ** 20)] }, patient)),
          // SQLite's limit is 10^9 bytes.
          await codeOf(db.appendFrame('value', { z: [new Uint8Array(1e9 + 1)] }, patient)),
          await codeOf(db.appendFrame('rows', { id, x: new Float64Array(rows) }, patient)),
          await codeOf(db.appendFrame('wide', wide(2000))),
          await codeOf(db.appendFrame('wider', wide(2001))),
          await codeOf(db.appendFrame('wide', wide(2000))),
        ];
        const [{ bytes }] = await db.query('SELECT sum(length(z)) AS bytes FROM value');
        const [{ count, sum }] = await db.query('SELECT count(*) AS count, sum(id) AS sum FROM rows');
        await db.close();
        await framelock.deleteDatabase('huge');
        return { paths, bytes, count, sum };
      });
      assert.deepEqual(seen, {
        paths: ['direct', 'SQL', 'direct', 'direct', 'INVALID_FRAME', 'direct'],
        bytes: 512 * 2 ** 20,
        count: 1e7,
        sum: (1e7 * (1e7 - 1)) / 2,
      });
    });
  },
  { intercept },
);
