// The package as a stranger installs it: the tarball in a fresh app, in a real Chromium, without a bundler and with each
// of those that the README names. The app (tests/package/app) uses framelock in the page and in a worker of its own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { serve } from '../../scripts/serve.mjs';
import { root } from '../../scripts/toolchain.mjs';
import { launch } from '../contract/harness.mjs';
import { freshFolder, installTools, pack, tool } from './install.mjs';

const APPS = ['plain', 'vite', 'esbuild', 'rollup', 'webpack'];
/** What bundling must not depend on: the app's sources are served from elsewhere afterwards. */
const EXPECTED = {
  page: { path: 'direct', rows: 3, sum: 6, storage: 'opfs' },
  own: { path: 'direct', rows: 3, sum: 6, storage: 'opfs' },
  here: { path: 'direct', rows: 3, sum: 6, storage: 'opfs' },
};

let browser, apps;
before(async () => {
  installTools();
  const { tarball } = pack();
  apps = freshFolder('apps', tarball, Object.fromEntries(APPS.map((name) => [name, 'tests/package/app'])));
  browser = await launch('chromium');
});
after(() => browser?.close());

/** Opens an app's page and gives what the app made of it. */
async function visit(address) {
  const page = await browser.handle.newPage();
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('requestfailed', (request) => errors.push(`${request.url()}: ${request.failure()?.errorText}`));
  try {
    await page.goto(address);
    await page
      .waitForFunction('globalThis.result', { timeout: 30_000 })
      .catch((cause) => assert.fail(`no result; ${errors.join('; ') || cause}`));
    assert.deepEqual(errors, []);
    return await page.evaluate('result');
  } finally {
    await page.close();
  }
}

/** Serves a folder below .cache under the CSP of the README, visits it, and ends the server. */
async function visitFolder(folder, { at = '/', path = '' } = {}) {
  const server = await serve({ roots: { [at]: relative(root, folder) } });
  try {
    return await visit(server.origin + at + path);
  } finally {
    await server.close();
  }
}

/** A bundle for browsers has nothing of Node in it: the `node` condition was not taken. */
function nothingOfNode(app) {
  const out = join(app, 'out');
  const scripts = readdirSync(out, { recursive: true }).filter((name) => name.endsWith('.js'));
  assert.ok(scripts.length > 0);
  for (const name of scripts) {
    assert.doesNotMatch(readFileSync(join(out, name), 'utf8'), /node:fs|worker_threads/, name);
  }
}

/** For bundlers that leave pages alone. */
const copyPage = (app) => copyFileSync(join(app, 'index.html'), join(app, 'out', 'index.html'));

/** The wasm, and the worker that needs nothing else: esbuild and Rollup are not told where they belong. */
function copyFromPackage(app, ...names) {
  const dist = join(apps, 'node_modules', 'framelock', 'dist');
  for (const name of names) copyFileSync(join(dist, name), join(app, 'out', name));
}

test('no bundler: plain script modules', async () => {
  for (const name of ['trial.js', 'here-worker.js', 'main.js']) {
    const path = join(apps, 'plain', name);
    const entry = (file) => `'../node_modules/framelock/dist/${file}.js'`;
    const text = readFileSync(path, 'utf8');
    writeFileSync(
      path,
      text
        .replace("'framelock'", entry('index'))
        .replace("'framelock/here'", entry('here'))
        .replace("'framelock/testing'", entry('testing/index')),
    );
  }
  assert.deepEqual(await visitFolder(apps, { at: '/apps/', path: 'plain/' }), EXPECTED);
});

test('Vite: development server', async () => {
  const { createServer } = await tool('vite');
  const server = await createServer({
    root: join(apps, 'vite'),
    configFile: false,
    logLevel: 'silent',
    server: { host: '127.0.0.1', fs: { allow: [apps] } },
  });
  try {
    await server.listen();
    // The first visit finds what has to be bundled, and the page may be loaded again in the middle of it.
    await visit(server.resolvedUrls.local[0]).catch(() => {});
    assert.deepEqual(await visit(server.resolvedUrls.local[0]), EXPECTED);
  } finally {
    await server.close();
  }
});

test('Vite: build', async () => {
  const { build } = await tool('vite');
  const app = join(apps, 'vite');
  await build({ root: app, configFile: false, logLevel: 'silent', build: { outDir: 'out' } });
  nothingOfNode(app);
  assert.deepEqual(await visitFolder(join(app, 'out')), EXPECTED);
});

test('webpack', async () => {
  const { default: webpack } = await tool('webpack');
  const app = join(apps, 'webpack');
  const compiler = webpack({
    mode: 'production',
    context: app,
    entry: './main.js',
    output: { path: join(app, 'out'), filename: 'main.js', publicPath: 'auto' },
    performance: false,
  });
  const stats = await new Promise((resolve, reject) =>
    compiler.run((error, stats) => (error ? reject(error) : resolve(stats))),
  );
  const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
  assert.deepEqual([errors, warnings], [[], []]);
  copyPage(app);
  nothingOfNode(app);
  assert.deepEqual(await visitFolder(join(app, 'out')), EXPECTED);
});

test('esbuild: the worker is copied as it is', async () => {
  const { build } = await tool('esbuild');
  const app = join(apps, 'esbuild');
  await build({
    absWorkingDir: app,
    entryPoints: {
      main: 'main.js',
      'own-worker': 'own-worker.js',
      'here-worker': 'here-worker.js',
    },
    bundle: true,
    minify: true,
    format: 'esm',
    outdir: 'out',
    logLevel: 'silent',
  });
  copyFromPackage(app, 'worker.js', 'framelock_wasm_bg.wasm');
  copyPage(app);
  nothingOfNode(app);
  assert.deepEqual(await visitFolder(join(app, 'out')), EXPECTED);
});

test('Rollup: the worker is an entry of its own', async () => {
  const { rollup } = await tool('rollup');
  const { nodeResolve } = await tool('@rollup/plugin-node-resolve');
  const app = join(apps, 'rollup');
  const bundle = await rollup({
    input: {
      main: join(app, 'main.js'),
      'own-worker': join(app, 'own-worker.js'),
      'here-worker': join(app, 'here-worker.js'),
      worker: join(apps, 'node_modules', 'framelock', 'dist', 'worker.js'),
    },
    plugins: [nodeResolve()],
    onwarn: (warning) => assert.fail(warning.message),
  });
  // Chunks beside the entries: what they name by import.meta.url is there too.
  await bundle.write({ dir: join(app, 'out'), format: 'es', chunkFileNames: '[name].js' });
  await bundle.close();
  copyFromPackage(app, 'framelock_wasm_bg.wasm');
  copyPage(app);
  nothingOfNode(app);
  assert.deepEqual(await visitFolder(join(app, 'out')), EXPECTED);
});

test('a server imports it without a crash; opening says STORAGE_UNAVAILABLE', () => {
  mkdirSync(join(apps, 'server'), { recursive: true });
  const script = `
    import { deleteDatabase, FramelockError, listDatabases, openDatabase } from 'framelock';
    const codes = await Promise.all([
      openDatabase('a'), openDatabase('a', { wasmUrl: '/a.wasm', storage: 'memory' }), listDatabases(), deleteDatabase('a'),
    ].map((promise) => promise.catch((error) => error instanceof FramelockError && error.code)));
    console.log(JSON.stringify(codes));`;
  writeFileSync(join(apps, 'server', 'index.mjs'), script);
  const { status, stdout, stderr } = spawnSync('node', [join(apps, 'server', 'index.mjs')], {
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  assert.equal(status, 0);
  assert.deepEqual(JSON.parse(stdout), Array(4).fill('STORAGE_UNAVAILABLE'));
});
