// Versions, paths and environment that set-up, build, lint and tests share. It decides nothing and
// installs nothing; it runs on a bare Node 20, before node_modules exists.
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** What `npm run build` writes. */
export const dist = join(root, 'dist');
/** The browser's modules one by one, as they go into the bundle; tests of single modules import them. */
export const modules = join(root, '.cache', 'modules');
/** Where cargo puts what it compiles. */
export const target = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');
/** Tools that set-up installs for this project alone. */
export const cacheCargo = join(root, '.cache', 'cargo');

/** The Python that has chdb, ClickHouse as a library, for the tests of the server. */
export const CHDB_PYTHON = join(root, '.cache', 'chdb', 'bin', 'python');
export const CHDB_VERSION = '4.4.0';

export const WASM_TARGET = 'wasm32-unknown-unknown';

/** In CI the lock file must be up to date; at a desk cargo may bring it up to date. */
export const LOCKED = process.env.CI ? ['--locked'] : [];

/**
 * Flags for the C half of the wasm module (SQLite, zstd). `local-exec`: there is one thread, and clang's
 * default TLS model wants symbols that do not exist here. The other three are instruction sets that every
 * browser with OPFS has.
 */
const WASM_CFLAGS = '-ftls-model=local-exec -mbulk-memory -msign-ext -mnontrapping-fptoint';

/** SIMD for the digest of every frame (xxh3); every browser with OPFS access handles has it. */
const WASM_RUSTFLAGS = '-Ctarget-feature=+simd128';

/** What sqlite-wasm-rs compiles in and nobody can reach from here. */
const SQLITE_WITHOUT = [
  'SESSION',
  'PREUPDATE_HOOK',
  'UNLOCK_NOTIFY',
  'API_ARMOR',
  'BYTECODE_VTAB',
  'DBPAGE_VTAB',
  'STMTVTAB',
  'OFFSET_SQL_FUNC',
  'UNKNOWN_SQL_FUNCTION',
];

/**
 * What SQLite has unless it is told otherwise: write-ahead logs, which want shared memory that the VFS does not have
 * (an imported file in WAL mode is taken out of it first), hooks for SQLite's own tests, tracing, counting of memory.
 */
const SQLITE_DEFINES = ['OMIT_WAL', 'OMIT_TRACE', 'UNTESTABLE', 'DEFAULT_MEMSTATUS=0'];

/** Small transactions reach the VFS as one batch (docs/protocol.md, "The redo log"); natively by .cargo/config.toml. */
const BATCHES = '-DSQLITE_ENABLE_BATCH_ATOMIC_WRITE';

const SQLITE_FLAGS = [
  ...SQLITE_WITHOUT.map((name) => `-USQLITE_ENABLE_${name}`),
  ...SQLITE_DEFINES.map((name) => `-DSQLITE_${name}`),
  BATCHES,
].join(' ');

/** Debian packages, each with the command or file that shows it is there. */
export const DEBIAN_PACKAGES = {
  clang: 'clang',
  llvm: 'llvm-ar',
  'build-essential': 'cc',
  chromium: 'chromium',
  'chromium-driver': 'chromedriver',
  'firefox-esr': 'firefox-esr',
  sqlite3: 'sqlite3',
  // Its programs are in a folder for each version, off the PATH.
  postgresql: '/usr/lib/postgresql',
  'fonts-dejavu-core': '/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf',
};

/** The path of a command on PATH, or of a file named in full; undefined when there is none. */
export function which(command) {
  if (command.startsWith('/')) return existsSync(command) ? command : undefined;
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** The version of a crate in Cargo.lock. */
export function lockedVersion(crate) {
  const lock = readFileSync(join(root, 'Cargo.lock'), 'utf8');
  const found = lock.match(new RegExp(`name = "${crate}"\\nversion = "([^"]+)"`));
  if (!found) throw new Error(`Cargo.lock does not name ${crate}`);
  return found[1];
}

/** The Rust version that rust-toolchain.toml asks for. */
export function pinnedRust() {
  return readFileSync(join(root, 'rust-toolchain.toml'), 'utf8').match(/channel = "([^"]+)"/)[1];
}

/**
 * The folder of `wasm-bindgen` and `wasm-bindgen-test-runner` at the crate's exact version: the project's own
 * copy, else the one on PATH, else undefined.
 */
export function wasmBindgenFolder() {
  const wanted = `wasm-bindgen ${lockedVersion('wasm-bindgen')}`;
  const onPath = which('wasm-bindgen');
  for (const folder of [join(cacheCargo, 'bin'), onPath && dirname(onPath)]) {
    if (!folder || !existsSync(join(folder, 'wasm-bindgen-test-runner'))) continue;
    const shown = spawnSync(join(folder, 'wasm-bindgen'), ['--version'], { encoding: 'utf8' });
    if (shown.stdout?.trim() === wanted) return folder;
  }
  return undefined;
}

/** The folder of the SQLite source that native tests compile, so that wasm runs the very same version. */
function sqliteSource(env) {
  const args = ['metadata', '--format-version', '1', ...LOCKED];
  const shown = spawnSync('cargo', args, { cwd: root, encoding: 'utf8', env, maxBuffer: 1 << 28 });
  if (shown.status !== 0) throw new Error(`cargo metadata failed:\n${shown.stderr}`);
  const crate = JSON.parse(shown.stdout).packages.find((p) => p.name === 'libsqlite3-sys');
  return join(dirname(crate.manifest_path), 'sqlite3');
}

/**
 * Adds the pinned Rust's stand-in where the pinned one cannot be had: `stable`, when it is new enough. It returns
 * an environment without one when rustup has the pinned toolchain.
 */
export function rustEnv() {
  const env = { ...process.env };
  if (env.RUSTUP_TOOLCHAIN || !which('rustup')) return env;
  const names = spawnSync('rustup', ['toolchain', 'list'], { encoding: 'utf8', cwd: root }).stdout ?? '';
  const has = (name) => names.split('\n').some((line) => line.startsWith(`${name}-`));
  if (!has(pinnedRust()) && has('stable')) env.RUSTUP_TOOLCHAIN = 'stable';
  return env;
}

/** The environment of every cargo call: what the wasm target needs; native builds ignore it. */
export function cargoEnv() {
  const env = rustEnv();
  const wasm = WASM_TARGET.replaceAll('-', '_');
  env[`CC_${wasm}`] ??= 'clang';
  env[`AR_${wasm}`] ??= 'llvm-ar';
  env[`CFLAGS_${wasm}`] ??= WASM_CFLAGS;
  env[`CARGO_TARGET_${wasm.toUpperCase()}_RUSTFLAGS`] ??= WASM_RUSTFLAGS;
  env.SQLITE_WASM_RS_FLAGS ??= SQLITE_FLAGS;
  env.SQLITE_WASM_RS_SOURCE_DIR ??= sqliteSource(env);
  return env;
}

/** The browsers' paths. FRAMELOCK_CHROMIUM, FRAMELOCK_FIREFOX and CHROMEDRIVER name others. */
export function browserPaths() {
  return {
    chromium: process.env.FRAMELOCK_CHROMIUM ?? which('chromium'),
    firefox: process.env.FRAMELOCK_FIREFOX ?? which('firefox-esr'),
    chromedriver: process.env.CHROMEDRIVER ?? which('chromedriver'),
  };
}

/** Runs a command with its output shown; rejects when it does not exit with 0. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', ...options });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ${args.join(' ')} ended with ${signal ?? `exit code ${code}`}`));
    });
  });
}
