// framelock/testing in Node: databases in memory in threads, and nothing else. Each script is a process of its own, since
// importing it is what makes the difference.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { root } from '../../scripts/toolchain.mjs';

/** Runs a module in a process of its own, which must end by itself, and gives what it logged as JSON. */
function run(code) {
  const script = code.replaceAll(/'framelock(\/testing)?'/g, (_, entry) =>
    entry ? "'./dist/testing/node.js'" : "'./dist/index.js'",
  );
  const args = ['--input-type=module', '--eval', script];
  const { status, stdout, stderr } = spawnSync('node', args, {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.deepEqual([status, stderr], [0, '']);
  return JSON.parse(stdout);
}

test('what the API does in a browser it does here: frames, transactions, events, files, errors', () => {
  const seen = run(`
    import { openDatabase } from 'framelock';
    import 'framelock/testing';
    const db = await openDatabase('a', { storage: 'memory' });
    const commits = [];
    db.on('commit', ({ tables }) => commits.push(...tables));
    const { path, rows } = await db.appendFrame('t', { n: BigInt64Array.of(1n, 2n), s: ['x', null] });
    await db.transaction(async (tx) => {
      const joined = await tx.appendFrame('t', [{ n: 3n, s: 'y' }]);
      commits.push(joined.path);
    });
    const rolledBack = await db.transaction(async (tx) => {
      await tx.exec('DELETE FROM t');
      throw new Error('no');
    }).catch((error) => error.message);
    const all = await db.query('SELECT n, s FROM t ORDER BY n');
    const code = await db.appendFrame('t', { n: ['text'] }).catch((error) => error.code);
    const batches = [];
    for await (const batch of db.stream('SELECT n FROM t', [], { batchRows: 2 })) batches.push(batch.byteLength > 0);
    const other = await openDatabase('b', { storage: 'memory' });
    await other.importFile(await db.exportFile());
    const copied = await other.query('SELECT count(*) AS n FROM t');
    const { storage, persisted } = await db.status();
    await Promise.all([db.close(), other.close()]);
    const closed = await db.query('SELECT 1').catch((error) => error.code);
    const text = all.map(({ n, s }) => typeof n + n + s);
    console.log(JSON.stringify({ path, rows, commits, rolledBack, text, code, batches, copied, storage, persisted, closed }));
  `);
  assert.deepEqual(seen, {
    path: 'direct',
    rows: 2,
    commits: ['t', 'joined', 't'],
    rolledBack: 'no',
    text: ['bigint1x', 'bigint2null', 'bigint3y'],
    code: seen.code,
    batches: [true, true],
    copied: [{ n: 3 }],
    storage: 'memory',
    persisted: false,
    closed: 'CLOSED',
  });
  assert.match(seen.code, /^(SCHEMA_MISMATCH|LOSSY_VALUE|INVALID_ARGUMENT)$/);
});

test('elapsedMs is counted from the call, also while the engine is busy with another one', () => {
  const { elapsedMs, took } = run(`
    import { withTestDatabase } from 'framelock/testing';
    const seen = await withTestDatabase(async (db) => {
      const slow = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT sum(i) FROM n';
      const reading = db.query(slow);
      const began = performance.now();
      const { elapsedMs } = await db.appendFrame('t', [{ n: 1 }]);
      const took = performance.now() - began;
      await reading;
      return { elapsedMs, took };
    }, { storage: 'memory' });
    console.log(JSON.stringify(seen));
  `);
  assert.ok(elapsedMs <= took && elapsedMs > took - 100, `${elapsedMs} ms of ${took}`);
});

test('OPFS is not replaced by memory, and a second handle on memory is refused', () => {
  const codes = run(`
    import { deleteDatabase, listDatabases, openDatabase } from 'framelock';
    import { faults, holdWriteLock, withTestDatabase } from 'framelock/testing';
    const memory = { storage: 'memory' };
    console.log(JSON.stringify(await Promise.all([
      openDatabase('a'),
      openDatabase('a', { storage: 'opfs' }),
      listDatabases(),
      deleteDatabase('a'),
      holdWriteLock('a'),
      withTestDatabase(() => {}),
      withTestDatabase((db, { open }) => open(), memory),
      withTestDatabase((db) => faults(db, {}), memory),
    ].map((promise) => promise.catch(({ code }) => code)))));
  `);
  assert.deepEqual(codes, [...Array(6).fill('STORAGE_UNAVAILABLE'), ...Array(2).fill('INVALID_ARGUMENT')]);
});

test('without framelock/testing there is no memory either: a server opens nothing by accident', () => {
  const code = run(`
    import { openDatabase } from 'framelock';
    console.log(JSON.stringify(await openDatabase('a', { storage: 'memory' }).catch(({ code }) => code)));
  `);
  assert.equal(code, 'STORAGE_UNAVAILABLE');
});

test('tests at the same time have databases of their own, and a test that fails leaves no thread behind', () => {
  const seen = run(`
    import { withTestDatabase } from 'framelock/testing';
    const count = (n) => withTestDatabase(async (db) => {
      await db.appendFrame('t', { n: new Int32Array(n) });
      if (n === 3) throw new Error('the test failed');
      return Number((await db.query('SELECT count(*) AS n FROM t'))[0].n);
    }, { storage: 'memory' }).catch((error) => error.message);
    console.log(JSON.stringify(await Promise.all([1, 2, 3, 4].map(count))));
  `);
  assert.deepEqual(seen, [1, 2, 'the test failed', 4]);
});

test('a handle that was forgotten does not keep the process alive', () => {
  const rows = run(`
    import { openDatabase } from 'framelock';
    import 'framelock/testing';
    const idle = await openDatabase('idle', { storage: 'memory' });
    const used = await openDatabase('used', { storage: 'memory' });
    used.on('commit', () => {});
    console.log((await used.appendFrame('t', { n: Int32Array.of(1) })).rows);
  `);
  assert.equal(rows, 1);
});

test('live runs here, too, and what a listener or its callback throws is an uncaught error', () => {
  const seen = run(`
    import { live } from 'framelock';
    import { withTestDatabase } from 'framelock/testing';
    const seen = [];
    process.on('uncaughtException', ({ message }) => seen.push(message));
    await withTestDatabase(async (db) => {
      db.on('append', () => { throw new Error('the listener'); });
      await db.appendFrame('t', [{ n: 1 }]);
      const stop = live(db, 'SELECT n FROM t', [], (rows) => {
        seen.push(rows.length);
        throw new Error('the callback');
      });
      while (seen.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
      stop();
    }, { storage: 'memory' });
    console.log(JSON.stringify(seen));
  `);
  assert.deepEqual(seen, ['the listener', 1, 'the callback']);
});

test('an environment that has no MessageChannel, such as Jest with jsdom, has databases in memory all the same', () => {
  const rows = run(`
    delete globalThis.MessageChannel;
    const { withTestDatabase } = await import('framelock/testing');
    const { rows } = await withTestDatabase((db) => db.appendFrame('t', [{ n: 1 }]), { storage: 'memory' });
    console.log(rows);
  `);
  assert.equal(rows, 1);
});

test('who gives an object or an array for a value is told what can be stored in its place', () => {
  const messages = run(`
    import { withTestDatabase } from 'framelock/testing';
    const refused = (db) =>
      Promise.all([{ a: 1 }, [1]].map((v) => db.appendFrame('t', [{ v }]).catch(({ message }) => message)));
    console.log(JSON.stringify(await withTestDatabase(refused, { storage: 'memory' })));
  `);
  for (const message of messages)
    assert.match(message, /^table "t", column "v", row 0: an .* its JSON text is$/);
});

test('a handle has a tag of its own: Vue makes no proxy of it, through which its private fields could not be had', () => {
  const tag = run(`
    import { withTestDatabase } from 'framelock/testing';
    const tagOf = (db) => Object.prototype.toString.call(db);
    console.log(JSON.stringify(await withTestDatabase(tagOf, { storage: 'memory' })));
  `);
  assert.equal(tag, '[object Database]');
});
