// WebKit, as far as Debian's WebKitGTK goes: it has no OPFS, which framelock finds out by asking, and everything else
// works in memory. Needs the Debian packages webkit2gtk-driver and xvfb; skipped, and said so, where they are not.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '../../scripts/serve.mjs';
import { which } from '../../scripts/toolchain.mjs';

const BROWSER = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser';
const PORT = 4577;
const DISPLAY = ':77';
const missing = !which('WebKitWebDriver') || !which('Xvfb') || !existsSync(BROWSER);

/** Sends a WebDriver command and gives its value. */
async function command(method, path, body) {
  const response = await fetch(`http://127.0.0.1:${PORT}${path}`, {
    method,
    body: body && JSON.stringify(body),
  });
  const { value } = await response.json();
  if (!response.ok) throw new Error(value.message);
  return value;
}

describe('webkit', { skip: missing && 'webkit2gtk-driver and xvfb are not installed' }, () => {
  const children = [];
  let server, session;

  before(async () => {
    server = await serve();
    const env = { ...process.env, DISPLAY, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1' };
    children.push(spawn('Xvfb', [DISPLAY, '-screen', '0', '1024x768x24'], { stdio: 'ignore' }));
    await sleep(1500);
    children.push(spawn('WebKitWebDriver', [`--port=${PORT}`], { env, stdio: 'ignore' }));
    await sleep(1500);
    const options = { binary: BROWSER, args: ['--automation'] };
    const started = await command('POST', '/session', {
      capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': options } },
    });
    session = `/session/${started.sessionId}`;
    await command('POST', `${session}/timeouts`, { script: 60_000 });
    await command('POST', `${session}/url`, { url: `${server.origin}/blank` });
  });

  after(async () => {
    if (session) await command('DELETE', session).catch(() => {});
    for (const child of children.reverse()) child.kill();
    await server?.close();
  });

  test('without OPFS: STORAGE_UNAVAILABLE; in memory everything works', async () => {
    const script = `
      const done = arguments[arguments.length - 1];
      (async () => {
        const { openDatabase } = await import('/dist/index.js');
        const opfs = await openDatabase('x').then(() => 'opened', ({ code }) => code);
        const db = await openDatabase('x', { storage: 'memory' });
        const { path } = await db.appendFrame('t', { a: Int32Array.of(1, 2, 3), s: ['x', null, 'é'] });
        const rows = await db.query('SELECT * FROM t');
        await db.close();
        return { access: 'createSyncAccessHandle' in (globalThis.FileSystemFileHandle?.prototype ?? {}), opfs, path, rows };
      })().then(done, (error) => done({ error: String(error) }));`;
    const seen = await command('POST', `${session}/execute/async`, { script, args: [] });
    const rows = [
      { a: 1, s: 'x' },
      { a: 2, s: null },
      { a: 3, s: 'é' },
    ];
    if (seen.access) assert.equal(seen.opfs, 'opened', 'this WebKit has OPFS: say so in the README');
    assert.deepEqual(seen, { access: false, opfs: 'STORAGE_UNAVAILABLE', path: 'direct', rows });
  });
});
