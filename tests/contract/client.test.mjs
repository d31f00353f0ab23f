// The page's half of the protocol, against a worker that does what it is told (fake-worker.mjs): every promise
// settles, whatever the worker does; nothing is sent that should not be.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { inBrowsers } from './harness.mjs';

/** Addresses at which a worker script is broken, each in its own way. */
const BROKEN = {
  '/broken/html.js': (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>no'),
  '/broken/syntax.js': (response) =>
    response.writeHead(200, { 'Content-Type': 'text/javascript' }).end('let let'),
  '/broken/throws.js': (response) =>
    response.writeHead(200, { 'Content-Type': 'text/javascript' }).end('throw new Error("at load")'),
  '/broken/hangs.js': () => {},
};

function intercept(request, response) {
  const broken = BROKEN[request.url];
  broken?.(response);
  return broken !== undefined;
}

inBrowsers(
  (context) => {
    let tab;
    before(async () => {
      tab = await context.browser.newTab();
      await tab.run(() => {
        const workerUrl = '/tests/contract/fake-worker.mjs';
        globalThis.open = (name = 'fake', options = {}) =>
          framelock.openDatabase(name, { workerUrl, ...options });
        globalThis.codeOf = (promise) =>
          promise.then(
            () => 'resolved',
            (error) => (error instanceof framelock.FramelockError ? error.code : String(error)),
          );
      });
    });

    test('a worker that does not load: WORKER_FAILED, and a later open works', async () => {
      const paths = ['/nowhere.js', ...Object.keys(BROKEN).filter((path) => !path.includes('hangs'))];
      for (const path of paths) {
        const code = await tab.run((workerUrl) => codeOf(framelock.openDatabase('x', { workerUrl })), path);
        assert.equal(code, 'WORKER_FAILED', path);
      }
      const elsewhere = 'http://localhost:9/worker.js';
      const code = await tab.run(
        (workerUrl) => codeOf(framelock.openDatabase('x', { workerUrl })),
        elsewhere,
      );
      assert.equal(code, 'WORKER_FAILED', 'another origin, which the CSP refuses');
      assert.equal(await tab.run(() => codeOf(open().then((db) => db.close()))), 'resolved');
    });

    test('a worker that hangs while it loads or starts: WORKER_FAILED after 10 s; while it closes: its calls are in doubt', async () => {
      const [codes, ms] = await tab.run(async () => {
        const start = performance.now();
        const stuck = await open('stuck');
        const written = codeOf(stuck.appendFrame('silent', new Uint8Array(1)));
        const closed = stuck.close();
        const codes = await Promise.all([
          codeOf(framelock.openDatabase('x', { workerUrl: '/broken/hangs.js' })),
          codeOf(open('silent')),
          written,
          codeOf(closed),
          codeOf(closed.then(() => stuck.exec('SELECT 1'))),
        ]);
        return [codes, performance.now() - start];
      });
      const failed = 'WORKER_FAILED';
      assert.deepEqual(codes, [failed, failed, failed, 'resolved', 'CLOSED']);
      assert.ok(ms > 9000 && ms < 12_000, `${ms} ms`);
    });

    test("the engine's refusal to open keeps its code", async () => {
      assert.equal(await tab.run(() => codeOf(open('refused'))), 'NOT_A_DATABASE');
    });

    for (const sql of ['throw', 'reject', 'trap']) {
      test(`what nobody catches in the worker (${sql}) fails every call under way; the next one has another worker`, async () => {
        const codes = await tab.run(async (sql) => {
          const db = await open();
          const calls = [db.exec('never'), db.appendFrame('silent', new Uint8Array(1)), db.exec(sql)];
          const codes = await Promise.all(calls.map(codeOf));
          codes.push(await codeOf(db.exec('x')));
          const log = await db.exportFile();
          codes.push(await codeOf(db.close()));
          return [...codes, log.map(({ kind, op }) => op ?? kind)];
        }, sql);
        const failed = Array(3).fill('WORKER_FAILED');
        assert.deepEqual(codes, [...failed, 'resolved', 'resolved', ['open', 'exec', 'export']]);
      });
    }

    /** How an append of 100 ms ends with a worker that does not answer, and after how long. */
    const unanswered = (table) =>
      tab.run(async (table) => {
        const db = await open();
        db.exec('never').catch(() => {});
        const start = performance.now();
        const append = db.appendFrame(table, new Uint8Array(1), { retry: { deadlineMs: 100 } });
        return [await codeOf(append), performance.now() - start];
      }, table);

    test('a worker that stops answering: an append that it has taken rejects 5 s after its deadline', async () => {
      const [code, ms] = await unanswered('silent');
      assert.equal(code, 'WORKER_FAILED');
      assert.ok(ms > 5000 && ms < 7000, `${ms} ms`);
    });

    test('an append that the worker has not taken by its deadline rejects then', async () => {
      const [code, ms] = await unanswered('unread');
      assert.equal(code, 'TIMEOUT');
      assert.ok(ms >= 100 && ms < 2000, `${ms} ms`);
    });

    test('after close: CLOSED, for calls under way too; closing twice is harmless', async () => {
      const codes = await tab.run(async () => {
        const db = await open();
        const hanging = codeOf(db.exec('never'));
        const closing = db.close();
        const late = codeOf(db.exec('x'));
        await closing;
        await db.close();
        return [await hanging, await late, await codeOf(db.status()), await codeOf(db.transaction(() => 1))];
      });
      assert.deepEqual(codes, ['CLOSED', 'CLOSED', 'CLOSED', 'CLOSED']);
    });

    test('signals: fired already, nothing is sent; fired later, a cancel is sent; the reason is the cause', async () => {
      const [before, during, cause, kinds] = await tab.run(async () => {
        const db = await open();
        const before = await codeOf(db.exec('x', [], { signal: AbortSignal.abort() }));
        const controller = new AbortController();
        const append = db.appendFrame('silent', new Uint8Array(1), { signal: controller.signal });
        controller.abort('because');
        const error = await append.catch((error) => error);
        const log = await db.exportFile();
        return [before, error.code, error.cause, log.map(({ kind, op }) => op ?? kind)];
      });
      assert.deepEqual([before, during, cause], ['ABORTED', 'ABORTED', 'because']);
      assert.deepEqual(kinds, ['open', 'append', 'cancel', 'export']);
    });

    test("the caller's bytes are copied at the call and stay the caller's", async () => {
      const [first, rows, length] = await tab.run(async () => {
        const db = await open();
        const frame = Uint8Array.of(0, 7, 8, 9).subarray(1);
        const append = db.appendFrame('t', frame);
        frame[0] = 1;
        const receipt = await append;
        return [receipt.first, receipt.rows, frame.length];
      });
      assert.deepEqual([first, rows, length], [7, 3, 3]);
    });

    test('the arguments of an append: own options, defaults under them, nothing that cannot be sent', async () => {
      const { args, at } = await tab.run(async () => {
        const db = await open('fake', { retry: { attempts: 7 }, fallback: 'none' });
        const signal = new AbortController().signal;
        const types = { a: 'int64' };
        await db.appendFrame('t', new Uint8Array(1), {
          retry: { factor: 3 },
          types,
          signal,
          onProgress() {},
        });
        const { args } = (await db.exportFile()).find(({ op }) => op === 'append');
        return { args, at: performance.timeOrigin + performance.now() };
      });
      const { calledAt, ...sent } = args;
      const options = { retry: { attempts: 7, factor: 3 }, types: { a: 'int64' }, fallback: 'none' };
      assert.deepEqual(sent, { table: 't', options, form: 'ipc', progress: true, tell: false });
      assert.ok(calledAt <= at && calledAt > at - 10_000, `called at ${calledAt}, looked at ${at}`);
    });

    test('what is wrong is refused before anything is sent', async () => {
      const [codes, kinds] = await tab.run(async () => {
        const db = await open();
        const detached = new Uint8Array(4);
        structuredClone(detached, { transfer: [detached.buffer] });
        const shared = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer;
        const thrower = {
          get mode() {
            throw new Error('no');
          },
        };
        const codes = await Promise.all(
          [
            db.appendFrame('t', detached),
            db.appendFrame('t', 'text'),
            db.appendFrame('', new Uint8Array(1)),
            db.appendFrame('t', new Uint8Array(1), thrower),
            db.appendFrame('t', new Uint8Array(1), { mode: 'x' }),
            db.exec('x', [undefined]),
            db.exec('x', [new Uint8Array(shared)]),
            db.query(5),
            db.transaction('x'),
            db.importFile('x'),
            db.importFile(detached),
            db.whenCommitted(''),
          ].map(codeOf),
        );
        return [codes, (await db.exportFile()).map(({ kind, op }) => op ?? kind)];
      });
      assert.deepEqual(codes, Array(12).fill('INVALID_ARGUMENT'));
      assert.deepEqual(kinds, ['open', 'export']);
    });

    test("an error keeps the engine's details and is a FramelockError", async () => {
      const error = await tab.run(async () => {
        const db = await open();
        const error = await db.exec('error').catch((error) => error);
        const { name, code, message, sqliteCode, table } = error;
        return { name, code, message, sqliteCode, table, isError: error instanceof framelock.FramelockError };
      });
      const want = {
        name: 'FramelockError',
        code: 'SQL',
        message: 'table "t": no',
        sqliteCode: 1,
        table: 't',
        isError: true,
      };
      assert.deepEqual(error, want);
    });

    test('a transaction commits what resolves, rolls back what throws, and refuses when it has ended', async () => {
      const result = await tab.run(async () => {
        const db = await open();
        let kept;
        const value = await db.transaction(async (tx) => {
          kept = tx;
          const { path } = await tx.appendFrame('t', new Uint8Array(1));
          return path;
        });
        const thrown = await db.transaction(() => Promise.reject('mine')).catch((reason) => reason);
        const sync = await db
          .transaction(() => {
            throw 'at once';
          })
          .catch((reason) => reason);
        const ended = await codeOf(kept.exec('x'));
        const ops = (await db.exportFile()).map(({ op, args }) => [op, args?.tx]);
        return { value, thrown, sync, ended, ops };
      });
      const { ops, ...rest } = result;
      assert.deepEqual(rest, { value: 'joined', thrown: 'mine', sync: 'at once', ended: 'CLOSED' });
      const want = 'open, begin, append 1, commit 1, begin, rollback 2, begin, rollback 3, export';
      const got = ops.map(([op, tx]) => [op ?? 'open', tx].filter(Boolean).join(' ')).join(', ');
      assert.equal(got, want);
    });

    test('a commit that fails rolls back; a signal that fires rolls back at once', async () => {
      const result = await tab.run(async () => {
        const db = await open();
        const controller = new AbortController();
        const { signal } = controller;
        const aborted = codeOf(db.transaction(() => new Promise(() => controller.abort()), { signal }));
        const first = await aborted;
        const second = await codeOf(db.transaction((tx) => tx.exec('poison')));
        const ops = (await db.exportFile()).map(({ op }) => op).filter(Boolean);
        return { first, second, ops };
      });
      const ops = ['begin', 'rollback', 'begin', 'exec', 'commit', 'rollback', 'export'];
      assert.deepEqual(result, { first: 'ABORTED', second: 'CONSTRAINT', ops });
    });

    test('a transaction that never ends is over when its handle is closed', async () => {
      const code = await tab.run(async () => {
        const db = await open();
        let began;
        const begun = new Promise((resolve) => (began = resolve));
        const ended = codeOf(db.transaction(() => new Promise(began)));
        await begun;
        await db.close();
        return ended;
      });
      assert.equal(code, 'CLOSED');
    });

    test('a signal that throws fails its call, and hangs nothing', async () => {
      const codes = await tab.run(async () => {
        const db = await open();
        const throws = () => {
          throw new Error('no');
        };
        const signals = [
          { aborted: false, addEventListener() {} },
          { aborted: false, addEventListener: 5, removeEventListener() {} },
          Object.defineProperty({ addEventListener() {}, removeEventListener() {} }, 'aborted', {
            get: throws,
          }),
          { aborted: false, addEventListener: throws, removeEventListener() {} },
        ];
        return Promise.all(signals.map((signal) => codeOf(db.exec('x', [], { signal }))));
      });
      assert.deepEqual(codes, Array(4).fill('INVALID_ARGUMENT'));
    });

    test('stream: batches in order; leaving early closes the cursor', async () => {
      const result = await tab.run(async () => {
        const whole = [];
        const db = await open();
        for await (const batch of db.stream('s')) whole.push(batch[0]);
        const other = await open();
        for await (const _ of other.stream('s')) break;
        const ops = (await other.exportFile()).map(({ op }) => op).filter(Boolean);
        const bad = await codeOf(db.stream(5)[Symbol.asyncIterator]().next());
        return { whole, ops, bad };
      });
      const ops = ['streamOpen', 'streamNext', 'streamClose', 'export'];
      assert.deepEqual(result, { whole: [1, 2, 3], ops, bad: 'INVALID_ARGUMENT' });
    });

    test('events: receipts, commits, an end to listening, and a listener that throws', async () => {
      const seen = await tab.run(async () => {
        const seen = [];
        const reported = [];
        addEventListener('error', (event) => {
          event.preventDefault();
          reported.push(event.error?.message);
        });
        const db = await open();
        db.on('append', () => {
          throw new Error('in a listener');
        });
        const off = db.on('append', ({ table }) => seen.push(table));
        db.on('commit', ({ tables }) => seen.push(...tables));
        await db.appendFrame('a', new Uint8Array(1), { onProgress: (p) => seen.push(p.rows / p.totalRows) });
        off();
        await db.appendFrame('b', new Uint8Array(1));
        await db.exec('event');
        try {
          db.on('nothing', () => {});
        } catch (error) {
          seen.push(error.code);
        }
        return [...seen, ...reported];
      });
      assert.deepEqual(seen, [0.5, 'a', 't', 'INVALID_ARGUMENT', 'in a listener', 'in a listener']);
    });

    test('lifecycle events reach the worker until the handle is closed', async () => {
      const states = await tab.run(async () => {
        const db = await open();
        document.dispatchEvent(new Event('freeze'));
        document.dispatchEvent(new Event('resume'));
        document.dispatchEvent(new Event('visibilitychange'));
        dispatchEvent(new PageTransitionEvent('pagehide'));
        dispatchEvent(new PageTransitionEvent('pageshow', { persisted: false }));
        dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
        return (await db.exportFile()).filter(({ kind }) => kind === 'lifecycle').map(({ state }) => state);
      });
      assert.deepEqual(states, ['freeze', 'resume', 'visible', 'pagehide', 'resume']);
    });

    test('a handle opened in a dedicated worker', async () => {
      const rows = await tab.run(async () => {
        const worker = new Worker('/tests/contract/in-worker.mjs', { type: 'module' });
        const { data } = await new Promise((resolve) => (worker.onmessage = resolve));
        worker.terminate();
        return data;
      });
      assert.equal(rows, 3);
    });
  },
  { intercept },
);
