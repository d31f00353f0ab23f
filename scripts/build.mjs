// The build: Rust to wasm twice (the engine with wasm-bindgen's glue, the server's encoder), TypeScript to ESM, into
// dist/, the browser's half in few files. With --dev it compiles faster (no link-time optimisation, debug assertions
// on) and says no sizes. SQLITE_WASM_RS_FLAGS says other SQLite options.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { bundle } from './bundle.mjs';
import { licences } from './licences.mjs';
import { setUp } from './setup.mjs';
import { shrunk } from './shrink.mjs';
import {
  cargoEnv,
  dist,
  LOCKED,
  modules,
  root,
  run,
  target,
  WASM_TARGET,
  wasmBindgenFolder,
} from './toolchain.mjs';

/** Files of dist/ that a page loads; type declarations and maps are not. */
const shipped = (name) => /\.(js|wasm)$/.test(name);

/** Prints raw, gzip and brotli bytes of every shipped file. */
function printSizes() {
  const sums = [0, 0, 0];
  const line = (name, sizes) => {
    const cells = sizes.map((bytes) => bytes.toLocaleString('en').padStart(11));
    console.log(`${name.padEnd(26)}${cells.join('')}`);
  };
  console.log(`${'bytes'.padEnd(26)}${['raw', 'gzip', 'brotli'].map((name) => name.padStart(11)).join('')}`);
  let rest = 0;
  for (const name of readdirSync(dist, { recursive: true }).filter(shipped).sort()) {
    const bytes = readFileSync(join(dist, name));
    // Node's brotli defaults to quality 11.
    const sizes = [bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length];
    sizes.forEach((size, i) => (sums[i] += size));
    // Most scripts are a few hundred bytes: they count, and are not worth a line each.
    if (sizes[0] >= 4096) line(name, sizes);
    else rest += 1;
  }
  line(`together, with ${rest} more`, sums);
}

/**
 * A function that is called from one place only becomes part of its caller, even where everything is to be small, and the
 * largest grew to 35 KB. Chromium counts a call of such a function as all of it, so after some 150 calls it compiles it
 * again, in the background, in each tab. What needs more than this many bytes of stack stays a function of its own.
 */
const SMALL_FUNCTIONS = '-Cllvm-args=-inline-max-stacksize=96';

/** Panic messages name source files: without this, where this machine keeps them, and no two machines build alike. */
function nameless(env, ...more) {
  const crates = env.CARGO_HOME ?? join(homedir(), '.cargo');
  const remap = [`--remap-path-prefix=${crates}=/cargo`, `--remap-path-prefix=${root}=/framelock`];
  const flags = [...remap, ...more];
  const name = 'CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS';
  return { ...env, [name]: [env[name], ...flags].join(' ') };
}

/** Compiles one of the crate's two libraries to wasm and gives its path; each has a profile, so a folder, of its own. */
async function compile(feature, profile, dev) {
  const args = [
    '--lib',
    '--target',
    WASM_TARGET,
    '--profile',
    profile,
    '--no-default-features',
    '--features',
    feature,
  ];
  // Only the cdylib: together with the rlib that Cargo.toml has for tests, cargo leaves link-time optimisation out.
  const cdylib = ['rustc', ...LOCKED, ...args, '--crate-type', 'cdylib'];
  const flags = feature === 'browser' ? [SMALL_FUNCTIONS] : [];
  await run('cargo', cdylib, { env: dev ? cargoEnv() : nameless(cargoEnv(), ...flags) });
  return join(target, WASM_TARGET, profile === 'dev' ? 'debug' : profile, 'framelock.wasm');
}

/** framelock/server: its encoder, which is half of the work, and its scripts. */
async function buildServer(to, tsc, dev) {
  const encoder = await compile('server', 'server', dev);
  const emit = ['--noEmit', 'false', '--declaration', '--sourceMap', '--inlineSources'];
  await tsc('tsconfig.server.json', ...emit, '--outDir', to);
  copyFileSync(encoder, join(to, 'framelock_server.wasm'));
}

/** Source maps name the sources as they lie beside dist/, and not from where they were put together. */
function nameSources(folder) {
  for (const name of readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.js.map'))) {
    const map = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    const up = '../'.repeat(name.split(sep).length);
    map.sources = map.sources.map((source) => source.replace(/^.*?(?=www\/)/, up));
    writeFileSync(join(folder, name), JSON.stringify(map));
  }
}

/**
 * Builds the package, or all of it but framelock/server. It is put together beside dist/ and moved there whole, so that
 * a failed build leaves the last good one.
 */
export async function build({ dev = false, sizes = !dev, server = true } = {}) {
  const next = join(root, '.cache', 'dist-next');
  const last = join(root, '.cache', 'dist-last');
  rmSync(next, { recursive: true, force: true });
  mkdirSync(next, { recursive: true });
  rmSync(modules, { recursive: true, force: true });
  mkdirSync(modules, { recursive: true });
  const engine = await compile('browser', dev ? 'dev' : 'release', dev);
  const bindgen = [
    '--target',
    'web',
    '--no-typescript',
    '--out-dir',
    modules,
    '--out-name',
    'framelock_wasm',
  ];
  await run(join(wasmBindgenFolder(), 'wasm-bindgen'), [...bindgen, engine]);
  const tsc = (...args) => run(join(root, 'node_modules', '.bin', 'tsc'), ['-p', ...args]);
  await tsc('tsconfig.build.json', '--outDir', modules, '--declarationDir', next);
  await bundle(modules, next);
  const engineFile = 'framelock_wasm_bg.wasm';
  const wasm = readFileSync(join(modules, engineFile));
  writeFileSync(join(next, engineFile), dev ? wasm : await shrunk(wasm));
  if (server) await buildServer(join(next, 'server'), tsc, dev);
  nameSources(next);
  writeFileSync(join(next, 'THIRD-PARTY-LICENSES.txt'), licences());
  // At no moment is there half of a dist/: others may be reading it.
  rmSync(last, { recursive: true, force: true });
  if (existsSync(dist)) renameSync(dist, last);
  renameSync(next, dist);
  rmSync(last, { recursive: true, force: true });
  if (sizes) printSizes();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await setUp();
    await build({ dev: process.argv.includes('--dev') });
  } catch (error) {
    console.error(`build: ${error.message}`);
    process.exit(1);
  }
}
