// The examples, each with the package as npm installs it, run as its folder says: the apps in a real Chromium, the test
// examples by their own runners.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { serve } from '../../scripts/serve.mjs';
import { browserPaths, root } from '../../scripts/toolchain.mjs';
import { launch } from '../contract/harness.mjs';
import { arrow, frameOf } from '../server/frames.mjs';
import { folderFor, freePort } from '../server/postgres.mjs';
import { frameRequest, read } from '../server/wire.mjs';
import { freshFolder, installTools, pack, tool, toolCommand } from './install.mjs';

const { chromium } = browserPaths();

const STREAM = '00000000-0000-4000-8000-000000000001';

let browser, folder;
before(async () => {
  installTools();
  folder = freshFolder('examples', pack().tarball, {
    todo: 'examples/todo',
    'react-ticks': 'examples/react-ticks',
    forwarding: 'examples/forwarding',
    vitest: 'examples/vitest',
    playwright: 'examples/playwright',
    'node-test': 'examples/node-test',
  });
  // They share one installed package. Vite serves what belongs to the workspace.
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "workspaces": ["*"] }\n');
  browser = await launch('chromium');
});
after(() => browser?.close());

/** Opens an address in a tab whose errors are kept. */
async function visit(address) {
  const page = await browser.handle.newPage({ type: 'window' });
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(address);
  return { page, errors };
}

/** Runs a command in an example's folder; its output is the failure's message. */
async function runIn(name, command, args, env = {}) {
  const child = spawn(command, args, {
    cwd: join(folder, name),
    env: { ...process.env, CHROMIUM: chromium, CI: '1', ...env },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (output += part));
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('exit', resolve));
  assert.equal(code, 0, output.slice(-4000));
  return output;
}

const serveTodo = () => {
  const below = (name) => relative(root, join(folder, name));
  return serve({ roots: { '/': below('todo'), '/node_modules/': below('node_modules') } });
};

test('todo: what one tab adds and ticks off, the other shows', async () => {
  const server = await serveTodo();
  try {
    const [first, second] = [await visit(`${server.origin}/`), await visit(`${server.origin}/`)];
    // Until the database is open the button takes no click.
    await first.page.waitForSelector('#add button:enabled');
    await first.page.type('textarea', 'milk\nbread');
    await first.page.click('button');
    const list = (wanted) =>
      `[...document.querySelectorAll('li')].map((li) => li.textContent.trim()).join() === '${wanted}'`;
    for (const { page } of [first, second]) await page.waitForFunction(list('milk,bread'));
    await second.page.click('li input');
    for (const { page } of [first, second]) await page.waitForFunction(list('bread,milk'));
    assert.deepEqual([...first.errors, ...second.errors], []);
    await Promise.all([first.page.close(), second.page.close()]);
  } finally {
    await server.close();
  }
});

test('react-ticks: the hook follows another tab and its own parameters', async () => {
  const { createServer } = await tool('vite');
  const server = await createServer({
    root: join(folder, 'react-ticks'),
    configFile: false,
    logLevel: 'silent',
    server: { host: '127.0.0.1' },
  });
  try {
    await server.listen();
    const [address] = server.resolvedUrls.local;
    const first = await visit(address);
    await first.page.waitForSelector('button');
    const second = await visit(address);
    await second.page.waitForSelector('[role=alert]');
    await first.page.click('button');
    await first.page.waitForSelector('#receipt');
    for (const { page } of [first, second]) {
      await page.waitForFunction("document.querySelector('td')?.textContent === '334'");
      assert.equal(await page.$('[role=alert]'), null, 'the error of the time before the table is forgotten');
    }
    await second.page.locator('input').fill('200');
    await second.page.waitForFunction("!document.querySelector('td')");
    assert.deepEqual([...first.errors, ...second.errors], []);
    await Promise.all([first.page.close(), second.page.close()]);
  } finally {
    await server.close();
  }
});

test('node-test: the tests pass without a browser', async () => {
  const output = await runIn('node-test', 'node', ['--test', '--test-reporter=tap'], {
    NODE_TEST_CONTEXT: undefined,
  });
  assert.match(output, /^# pass 3$/m);
});

test('vitest: the tests of its browser mode pass', async () => {
  const output = await runIn('vitest', toolCommand('vitest'), ['run']);
  assert.match(output, /4 passed/);
});

test('playwright: the tests pass', async () => {
  const server = await serveTodo();
  try {
    const output = await runIn('playwright', toolCommand('playwright'), ['test', '--workers=1'], {
      BASE_URL: `${server.origin}/`,
    });
    assert.match(output, /2 passed/);
  } finally {
    await server.close();
  }
});

for (const [engine, name] of [
  ['', 'PostgreSQL'],
  ['pglite', 'PGlite'],
]) {
  test(`forwarding: the server takes frames, with ${name} behind it`, async () => {
    const data = folderFor('example');
    const child = spawn('node', ['server.js'], {
      cwd: join(folder, 'forwarding'),
      env: {
        DATA: data,
        ...process.env,
        PORT: '0',
        PGPORT: String(await freePort()),
        ENGINE: engine,
        DATABASE_URL: '',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const address = await new Promise((resolve, reject) => {
        child.stdout.on('data', (line) => resolve(String(line).match(/^(http:\S+)\/ with (\w+)/)));
        child.on('exit', (code) => reject(new Error(`the server ended with ${code}`)));
      });
      const [, origin, behind] = address;
      assert.equal(behind, name);
      for (const path of ['/', '/page.js', '/framelock/index.js', '/framelock/framelock_wasm_bg.wasm']) {
        assert.equal((await fetch(origin + path)).status, 200, path);
      }
      const summary = async () => (await fetch(`${origin}/summary`)).json();
      assert.deepEqual(await summary(), { rows: 0, qty: 0 });
      const frame = frameOf({ qty: [new arrow.Int32(), [1, 2, 39]] });
      const put = (token) =>
        fetch(frameRequest(STREAM, 1, 'ticks', frame, { base: `${origin}/sync`, token })).then(read);
      assert.equal((await put('nobody')).status, 401);
      assert.equal((await put('token-of-ann')).status, 201);
      assert.equal((await put('token-of-ann')).status, 200);
      assert.deepEqual(await summary(), { rows: 3, qty: 42 });
      // And the page: what is appended while nothing is sent is there afterwards, once.
      const { page, errors } = await visit(`${origin}/`);
      await page.waitForSelector('#append:enabled');
      await page.click('#reachable');
      await page.click('#append');
      await page.waitForFunction("document.querySelector('#local-rows').textContent === '100'");
      assert.deepEqual(await summary(), { rows: 3, qty: 42 });
      await page.click('#reachable');
      await page.waitForFunction("document.querySelector('#remote-rows').textContent === '103'");
      await page.waitForFunction("document.querySelector('#pending').textContent === '0'");
      assert.deepEqual(await summary(), { rows: 103, qty: 42 + 4950 });
      assert.deepEqual(errors, []);
      await page.close();
    } finally {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
      // PostgreSQL is told to end and takes a moment.
      rmSync(data, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    }
  });
}
