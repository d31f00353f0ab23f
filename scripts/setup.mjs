// Set-up: everything that build and tests need beyond rustup, Node 20, npm and Python 3, on Debian 12.
// It says what it installs, skips what is there, and where it may not install says what to install and fails.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  cacheCargo,
  CHDB_PYTHON,
  CHDB_VERSION,
  DEBIAN_PACKAGES,
  lockedVersion,
  pinnedRust,
  root,
  run,
  rustEnv,
  WASM_TARGET,
  wasmBindgenFolder,
  which,
} from './toolchain.mjs';

const say = (text) => console.log(`set-up: ${text}`);

/** Something that set-up cannot do here; the message says what to do by hand. */
class CannotSetUp extends Error {}

/** Debian's packages: compilers for wasm, both browsers, the sqlite3 that checks our files, the PostgreSQL that is forwarded to. */
async function debianPackages() {
  const packages = Object.keys(DEBIAN_PACKAGES).filter((name) => !which(DEBIAN_PACKAGES[name]));
  if (packages.length === 0) return;
  const byHand = `apt-get install --no-install-recommends ${packages.join(' ')}`;
  if (!which('apt-get')) throw new CannotSetUp(`no apt-get here; install by hand what "${byHand}" would`);
  if (process.getuid?.() !== 0) throw new CannotSetUp(`not root; run as root: ${byHand}`);
  say(`installing Debian packages: ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['-qq', 'update'], { env });
  const args = ['-qq', '-y', '-o', 'Dpkg::Use-Pty=0', 'install', '--no-install-recommends', ...packages];
  await run('apt-get', args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** The pinned Rust where rustup can get it, else a `stable` that is new enough; then the wasm target and tools. */
async function rust() {
  if (!which('rustup')) throw new CannotSetUp('no rustup on PATH; install it with a stable toolchain');
  let env = rustEnv();
  if (env.RUSTUP_TOOLCHAIN === 'stable') {
    const wanted = pinnedRust();
    const shown = spawnSync('rustc', ['--version'], { cwd: root, env, encoding: 'utf8' }).stdout;
    if (shown.split(' ')[1] !== wanted) {
      say(`installing Rust ${wanted} (stable here is ${shown.trim()})`);
      const args = ['toolchain', 'install', wanted, '--profile', 'minimal', '--no-self-update'];
      await run('rustup', args).catch(() => say(`Rust ${wanted} cannot be had here; going on with stable`));
      env = rustEnv();
    }
  }
  const sysroot = spawnSync('rustc', ['--print', 'sysroot'], { cwd: root, env, encoding: 'utf8' });
  if (sysroot.status !== 0) throw new CannotSetUp(`rustc does not run:\n${sysroot.stderr}`);
  const folder = sysroot.stdout.trim();
  if (!existsSync(join(folder, 'lib', 'rustlib', WASM_TARGET))) {
    say(`adding the Rust target ${WASM_TARGET}`);
    await run('rustup', ['target', 'add', WASM_TARGET], { env });
  }
  for (const [command, component] of Object.entries({ 'cargo-fmt': 'rustfmt', 'cargo-clippy': 'clippy' })) {
    if (existsSync(join(folder, 'bin', command))) continue;
    say(`adding the Rust component ${component}`);
    await run('rustup', ['component', 'add', component], { env });
  }
}

/** True when node_modules holds every package of the lock file in its version. */
function nodeModulesFresh() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  const have = JSON.parse(readFileSync(installed, 'utf8')).packages;
  const want = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(want).every(
    ([path, { version, optional }]) =>
      path === '' || (have[path] ? have[path].version === version : optional),
  );
}

/** Development packages, exactly as the lock file names them. */
async function nodeModules() {
  if (nodeModulesFresh()) return;
  say('installing npm packages (npm ci)');
  await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

/** wasm-bindgen's command line at the crate's version: the two must be equal. */
async function wasmBindgen() {
  if (wasmBindgenFolder()) return;
  const version = lockedVersion('wasm-bindgen');
  say(`building wasm-bindgen-cli ${version} into .cache/cargo (some minutes)`);
  const args = ['install', 'wasm-bindgen-cli', '--version', version, '--root', cacheCargo, '--quiet'];
  const env = rustEnv();
  await run('cargo', [...args, '--locked'], { env }).catch(() => {
    say('its own lock file names a crate that this registry does not have; resolving afresh (no --locked)');
    return run('cargo', args, { env });
  });
}

/**
 * chdb for the tests of forwarding to ClickHouse, from PyPI into .cache. The only thing here that may be missing: there
 * is none for every platform, and its tests then say that they are skipped.
 */
async function chdb() {
  const has = spawnSync(CHDB_PYTHON, ['-m', 'pip', 'show', 'chdb'], { encoding: 'utf8' }).stdout ?? '';
  if (has.includes(`Version: ${CHDB_VERSION}\n`)) return;
  say(`installing chdb ${CHDB_VERSION} into .cache/chdb (900 MB)`);
  const folder = dirname(dirname(CHDB_PYTHON));
  const quiet = ['install', '--quiet', '--disable-pip-version-check'];
  try {
    await run('python3', ['-m', 'venv', folder]);
    await run(CHDB_PYTHON, ['-m', 'pip', ...quiet, `chdb==${CHDB_VERSION}`]);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    say(`no chdb here, so the tests of ClickHouse are skipped: ${error.message}`);
  }
}

/** Does all of it; rejects with what to do by hand where it may not. `forTests` adds what only `npm test` needs. */
export async function setUp({ forTests = false } = {}) {
  const start = performance.now();
  // None of these needs another: fetching, unpacking and compiling go on side by side.
  const parts = [debianPackages(), nodeModules(), rust().then(wasmBindgen)];
  if (forTests) parts.push(chdb());
  await Promise.all(parts);
  say(`ready (${((performance.now() - start) / 1000).toFixed(1)} s)`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setUp({ forTests: true }).catch((error) => {
    console.error(error instanceof CannotSetUp ? `set-up: ${error.message}` : error);
    process.exit(1);
  });
}
