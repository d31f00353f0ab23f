// The tarball: what is in it and nothing else, what package.json promises, what others' linters say.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { root } from '../../scripts/toolchain.mjs';
import { freshFolder, installTools, pack, tool, toolCommand } from './install.mjs';

let tarball, files, installed;
before(() => {
  installTools();
  ({ tarball, files } = pack());
  installed = join(freshFolder('installed', tarball), 'node_modules', 'framelock');
});

const read = (name) => readFileSync(join(installed, name), 'utf8');

test('there is nothing in it but the package', () => {
  const others = [
    'CHANGELOG.md',
    'LICENSE-APACHE',
    'LICENSE-MIT',
    'README.md',
    'dist/THIRD-PARTY-LICENSES.txt',
    'package.json',
    ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
  ];
  const inDist =
    /^dist\/(arrow\/|frames\/|server\/|testing\/)?([a-z_-]+|shared-[A-Z0-9]{8})(\.js|\.js\.map|\.d\.ts|_bg\.wasm|_server\.wasm)$/;
  assert.deepEqual(
    files.filter((name) => !inDist.test(name) && !others.includes(name)),
    [],
  );
  assert.deepEqual(
    others.filter((name) => !files.includes(name)),
    [],
  );
});

test('it has no dependencies and runs no scripts on installation', () => {
  const manifest = JSON.parse(read('package.json'));
  assert.equal(manifest.dependencies, undefined);
  assert.equal(manifest.peerDependencies, undefined);
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare'])
    assert.equal(manifest.scripts[script], undefined);
  assert.deepEqual(readdirSync(join(installed, '..')).sort(), ['.package-lock.json', 'framelock']);
});

test('every script has its declarations and a source map with the sources in it', () => {
  for (const name of files.filter((name) => name.endsWith('.js'))) {
    // What entries share is nobody's to import.
    if (!/\/shared-/.test(name))
      assert.ok(files.includes(name.replace(/js$/, 'd.ts')), `${name}: declarations`);
    const [, map] = read(name).match(/\n\/\/# sourceMappingURL=(.*)\s*$/) ?? [];
    assert.ok(map, `${name}: names its map`);
    const { sources, sourcesContent } = JSON.parse(read(join(name, '..', map)));
    assert.ok(sources.length > 0 || /^(import|export)\b/.test(read(name)), name);
    const ours = sources.filter((source) => source.includes('www/'));
    for (const source of ours) {
      const path = join(name, '..', source);
      assert.ok(existsSync(join(root, path)), `${name}: ${source} lies beside dist/`);
    }
    for (const content of sourcesContent) assert.ok(content.length > 0, `${name}: the source is in the map`);
  }
});

test('what does not read exports, such as Parcel, finds the same entry in main and types', () => {
  const { exports, main, types } = JSON.parse(read('package.json'));
  assert.deepEqual({ default: main, types }, exports['.']);
});

test('what the exports and sideEffects name is there', () => {
  const { exports, sideEffects } = JSON.parse(read('package.json'));
  const named = Object.values(exports).flatMap((entry) =>
    typeof entry === 'string' ? [entry] : Object.values(entry),
  );
  for (const path of [...named, ...sideEffects]) assert.ok(existsSync(join(installed, path)), path);
  // Scripts that are imported for what they do, and would be left out by a bundler that is told otherwise.
  const effects = files
    .filter((name) => /(^|\/)(worker|hooks|testing\/(node|thread))\.js$/.test(name))
    .map((name) => `./${name}`);
  assert.deepEqual([...sideEffects].sort(), effects.sort());
});

test('no file says where it was built', () => {
  for (const name of files.filter((name) => !name.endsWith('.md'))) {
    const bytes = readFileSync(join(installed, name), 'latin1');
    const [found] = bytes.match(/(\/home\/|\/root\/|\/work\/|[A-Z]:\\Users)[\w./\\-]*/) ?? [];
    assert.equal(found, undefined, name);
  }
});

test('publint has nothing to say', async () => {
  const { publint } = await tool('publint');
  const { formatMessage } = await tool('publint/utils');
  const { messages, pkg } = await publint({ pkgDir: installed, pack: false, strict: true });
  assert.deepEqual(
    messages.map((message) => formatMessage(message, pkg)),
    [],
  );
});

test('are the types wrong? no', () => {
  // The wasm file is an asset, not a module; the package is ESM only.
  const args = ['--profile', 'esm-only', '--exclude-entrypoints', 'wasm', 'server/wasm', '--format', 'ascii'];
  const { status, stdout } = spawnSync(toolCommand('attw'), [tarball, ...args], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});

test('TypeScript programs see the types, and their mistakes', () => {
  const app = join(installed, '..', '..');
  const strict = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022'];
  // A server's tsconfig: Node's types, and none of the browser's.
  const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules', '@types')];
  const node = [...types, '--lib', 'es2022'];
  const programs = { 'usage.ts': ['--types', ''], 'usage-node.ts': node };
  for (const [program, options] of Object.entries(programs)) {
    copyFileSync(join(root, 'tests', 'package', program), join(app, program));
    for (const resolution of [
      ['--module', 'esnext', '--moduleResolution', 'bundler'],
      ['--module', 'nodenext'],
    ]) {
      const { status, stdout } = spawnSync(
        join(root, 'node_modules', '.bin', 'tsc'),
        ['--ignoreConfig', ...strict, ...options, ...resolution, join(app, program)],
        { cwd: app, encoding: 'utf8' },
      );
      assert.equal(status, 0, stdout);
    }
  }
});
