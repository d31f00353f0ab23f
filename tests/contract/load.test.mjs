// How the package loads: under the promised headers, from overridden addresses, and with a wasm file that is broken.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { dist } from '../../scripts/toolchain.mjs';
import { setTimeout as sleep } from 'node:timers/promises';
import { inBrowsers, workersMs } from './harness.mjs';

/** Addresses of wasm files that are broken, each in its own way. */
const BROKEN = {
  '/broken/html.wasm': (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>no'),
  '/broken/truncated.wasm': (response) => {
    const bytes = readFileSync(join(dist, 'framelock_wasm_bg.wasm'));
    response.writeHead(200, { 'Content-Type': 'application/wasm' }).end(bytes.subarray(0, bytes.length / 2));
  },
  '/broken/empty.wasm': (response) => response.writeHead(200, { 'Content-Type': 'application/wasm' }).end(),
  '/broken/hangs.wasm': () => {},
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
    });

    test('no COOP, no COEP, and the CSP of the README', async () => {
      const headers = await tab.run(async () => Object.fromEntries((await fetch('/blank')).headers));
      assert.equal(
        headers['content-security-policy'],
        "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'",
      );
      assert.equal('cross-origin-opener-policy' in headers, false);
      assert.equal('cross-origin-embedder-policy' in headers, false);
      assert.equal(await tab.run(() => crossOriginIsolated), false);
    });

    test('a wasm file that is broken: WORKER_FAILED in 10 s, and a later open works', async () => {
      const paths = ['/nowhere.wasm', ...Object.keys(BROKEN)];
      const results = await tab.run(async (paths) => {
        const open = async (wasmUrl) => {
          const start = performance.now();
          const code = await framelock.openDatabase('load', { wasmUrl }).then(
            () => 'opened',
            (error) => error.code,
          );
          return { wasmUrl, code, late: performance.now() - start > 12_000 };
        };
        return Promise.all(paths.map(open));
      }, paths);
      assert.deepEqual(
        results,
        paths.map((wasmUrl) => ({ wasmUrl, code: 'WORKER_FAILED', late: false })),
      );
      const rows = await tab.run(async () => {
        const db = await framelock.openDatabase('load', { storage: 'memory' });
        const rows = await db.query('SELECT 1 AS one');
        await db.close();
        return rows;
      });
      assert.deepEqual(rows, [{ one: 1 }]);
    });

    test('workerUrl and wasmUrl may be given, relative to the page', async () => {
      const rows = await tab.run(async () => {
        const urls = {
          workerUrl: '/dist/worker.js',
          wasmUrl: new URL('/dist/framelock_wasm_bg.wasm', location.href),
        };
        const db = await framelock.openDatabase('load', { storage: 'memory', ...urls });
        const rows = await db.query('SELECT 2 AS two');
        await db.close();
        return rows;
      });
      assert.deepEqual(rows, [{ two: 2 }]);
    });

    // Last: a second tab puts the first one behind it.
    test('an idle engine warms itself up, once a page, and leaves nothing behind', async () => {
      const fresh = await context.browser.newTab();
      const pid = context.name === 'chromium' ? await fresh.processId() : undefined;
      const traces = () =>
        fresh.run(async () => {
          const folder = await navigator.storage.getDirectory();
          const files = await Array.fromAsync((await folder.getDirectoryHandle('framelock')).keys());
          const { held, pending } = await navigator.locks.query();
          return [files.sort(), held.map(({ name }) => name).sort(), pending.length];
        });
      const idle = async (name) => {
        await fresh.run(async (name) => void (await framelock.openDatabase(name)), name);
        const [before, start] = [await traces(), pid && workersMs(pid)];
        await sleep(1000);
        assert.deepEqual(await traces(), before);
        return pid && workersMs(pid) - start;
      };
      const first = await idle('load-idle');
      const second = await idle('load-idle-2');
      await fresh.close();
      // Processor time, which other work on the machine does not lengthen.
      if (first !== undefined) assert.ok(first > 5 * second, `first ${first} ms, second ${second} ms`);
    });
  },
  { intercept },
);

test('importing the package outside a browser is harmless; opening says why it cannot', async () => {
  const framelock = await import('../../dist/index.js');
  await assert.rejects(framelock.openDatabase('x'), { code: 'STORAGE_UNAVAILABLE' });
  await assert.rejects(framelock.openDatabase('../x'), { code: 'INVALID_ARGUMENT' });
});
