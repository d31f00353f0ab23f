// Next.js: a client component, rendered on the server first; development server and production build. Behind
// FRAMELOCK_HEAVY=1, since it installs half a gigabyte into .cache and takes minutes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { join } from 'node:path';
import { launch } from '../contract/harness.mjs';
import { freshNext, pack } from './install.mjs';

describe('Next.js', { skip: !process.env.FRAMELOCK_HEAVY && 'set FRAMELOCK_HEAVY=1' }, () => {
  let browser, app;
  before(async () => {
    app = freshNext(pack().tarball);
    browser = await launch('chromium');
  });
  after(() => browser?.close());

  /** Runs `next`; with `until`, resolves with what matched it in the output, and with the process. */
  function next(args, until) {
    const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', HOSTNAME: '127.0.0.1' };
    const child = spawn('node', [join(app, 'node_modules', 'next', 'dist', 'bin', 'next'), ...args], {
      cwd: app,
      env,
    });
    let output = '';
    return new Promise((resolve, reject) => {
      const read = (part) => {
        output += part;
        const found = until && output.match(until);
        if (found) resolve({ child, found: found[0] });
      };
      for (const stream of [child.stdout, child.stderr]) stream.on('data', read);
      child.on('error', reject).on('exit', (code) => {
        if (code === 0 && !until) resolve({ child, found: output });
        else reject(new Error(`next ${args.join(' ')}: ${code}: ${output.slice(-4000)}`));
      });
    });
  }

  async function visit(address) {
    const html = await (await fetch(address)).text();
    assert.match(html, /rendered/);
    const page = await browser.handle.newPage();
    await page.goto(address);
    await page.waitForFunction("document.querySelector('output').textContent.startsWith('{')");
    const result = await page.$eval('output', (output) => output.textContent);
    await page.close();
    return JSON.parse(result);
  }

  async function served(args) {
    const { child, found } = await next([...args, '--port', '0'], /http:\/\/(127\.0\.0\.1|localhost):\d+/);
    try {
      assert.deepEqual(await visit(found), { path: 'direct', rows: 3, storage: 'opfs' });
    } finally {
      child.kill();
    }
  }

  for (const bundler of ['--turbopack', '--webpack']) {
    test(`development server, ${bundler}`, () => served(['dev', bundler]));
    test(`build, ${bundler}`, async () => {
      await next(['build', bundler]);
      await served(['start']);
    });
  }
});
