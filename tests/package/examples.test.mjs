// The examples, each with the package as npm installs it, run as its folder says: the apps in a real Chromium, the test
// examples by their own runners.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { serve } from '../../scripts/serve.mjs';
import { browserPaths, root } from '../../scripts/toolchain.mjs';
import { launch } from '../contract/harness.mjs';
import { freshFolder, installTools, pack, tool, toolCommand } from './install.mjs';

const { chromium } = browserPaths();

let browser, folder;
before(async () => {
  installTools();
  folder = freshFolder('examples', pack().tarball, {
    todo: 'examples/todo',
    'react-ticks': 'examples/react-ticks',
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
    await first.page.waitForSelector('#add');
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
    await second.page.waitForSelector('button');
    await first.page.click('button');
    await first.page.waitForSelector('#receipt');
    for (const { page } of [first, second]) {
      await page.waitForFunction("document.querySelector('td')?.textContent === '334'");
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
