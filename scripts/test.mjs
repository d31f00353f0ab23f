// `npm test`: everything, in order, the cheapest first. Arguments name stages: `npm test -- lint rust`. Any failure
// ends it with a non-zero exit code. Beyond `lint` each stage works on what the earlier ones built.
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { finished } from 'node:stream/promises';
import { run as runTests } from 'node:test';
import { spec as SpecReporter } from 'node:test/reporters';
import { build } from './build.mjs';
import { setUp } from './setup.mjs';
import { browserPaths, cargoEnv, LOCKED, root, run, WASM_TARGET, wasmBindgenFolder } from './toolchain.mjs';

const bin = (name) => join(root, 'node_modules', '.bin', name);
const cargo = (args, env = {}) => run('cargo', args, { env: { ...cargoEnv(), ...env } });

/** The test files of some folders below tests/. */
function testFiles(...folders) {
  return folders.flatMap((folder) => {
    const path = join(root, 'tests', folder);
    const names = existsSync(path) ? readdirSync(path).filter((name) => name.endsWith('.test.mjs')) : [];
    return names.sort().map((name) => join('tests', folder, name));
  });
}

/** Runs files with Node's own runner, whose reporter closes with the counts; gives those in which a test failed. */
async function failingFiles(files, abreast) {
  const failed = new Set();
  const tests = runTests({ files: files.map((file) => join(root, file)), concurrency: abreast });
  tests.on('test:fail', ({ file, todo }) => {
    if (todo === undefined) failed.add(file ? relative(root, file) : 'a file that is not named');
  });
  const report = tests.compose(new SpecReporter());
  report.pipe(process.stdout, { end: false });
  await finished(report);
  // A suite is reported by the file that declares it, a helper perhaps; if nothing else says whose it was, it may be any.
  const named = files.filter((file) => failed.has(file));
  return failed.size > 0 && named.length === 0 ? files : named;
}

/** Files that failed once and then passed alone; said at the end. */
const secondTries = [];

/**
 * Browsers and servers want a processor each. On a machine that is busy with other things one of them may be late for
 * once: a file that fails is run again, alone. What fails twice has failed, and what passed the second time is named.
 */
async function nodeTests(files, abreast = 1) {
  // Without a file node would look for tests everywhere.
  if (files.length === 0) return console.log('no tests here yet');
  const failed = await failingFiles(files, abreast);
  if (failed.length === 0) return;
  console.log(`== again, alone: ${failed.join(', ')}`);
  const failedAgain = await failingFiles(failed, 1);
  if (failedAgain.length) throw new Error(`failed twice: ${failedAgain.join(', ')}`);
  secondTries.push(...failed);
}

/** Tests that kill, freeze and watch the clock: nothing else runs beside them. */
const ALONE = /\/(busy|crash|fidelity|frozen)\.test\.mjs$/;

async function contractTests() {
  const files = testFiles('contract');
  await nodeTests(files.filter((file) => ALONE.test(file)));
  await nodeTests(
    files.filter((file) => !ALONE.test(file)),
    2,
  );
}

/** The package is built once, by the first stage that wants it. */
let building;
const built = () => (building ??= build());

async function lintScripts() {
  await run(bin('prettier'), ['--check', '--log-level', 'warn', '.']);
  await run(bin('tsc'), ['-p', 'tsconfig.json']);
  await run(bin('tsc'), ['-p', 'tsconfig.server.json']);
  // Types that must compile, and types that must not.
  await run(bin('tsc'), ['-p', 'tests/types']);
}

async function lintRust() {
  const strict = ['--', '-D', 'warnings'];
  await cargo(['fmt', '--all', '--check']);
  // The tests' profile: so that what the build scripts make, SQLite among it, is made once.
  const everything = ['--workspace', '--profile', 'sim', '--all-targets'];
  await cargo(['clippy', ...LOCKED, ...everything, '--quiet', ...strict]);
  for (const feature of ['browser', 'server']) {
    const alone = ['--no-default-features', '--features', feature];
    await cargo(['clippy', ...LOCKED, '--lib', '--target', WASM_TARGET, ...alone, '--quiet', ...strict]);
  }
}

/** In-browser Rust tests: one file of this name, in tests/web. */
async function webTests() {
  const { chromium, chromedriver } = browserPaths();
  // The runner reads webdriver.json in the package's folder.
  await cargo(['test', ...LOCKED, '--target', WASM_TARGET, '--test', 'web'], {
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: join(wasmBindgenFolder(), 'wasm-bindgen-test-runner'),
    CHROMEDRIVER: chromedriver,
    CHROME_BIN: chromium,
    WASM_BINDGEN_TEST_TIMEOUT: '120',
  });
}

const STAGES = {
  lint: () => Promise.all([lintScripts(), lintRust()]),
  // Optimised, with assertions and overflow checks: the simulator's 2,000 worlds take minutes so, hours otherwise. They
  // take one processor; the wasm build, which comes next, has the other.
  async rust() {
    const test = ['test', ...LOCKED, '--workspace', '--profile', 'sim', '--quiet'];
    await cargo([...test, '--no-run']);
    await Promise.all([cargo(test), built()]);
  },
  build: () => built(),
  client: () => nodeTests(testFiles('client', 'frame')),
  // The servers wait for each other, while the Rust tests of the browser are compiled.
  server: () => Promise.all([nodeTests(testFiles('server')), webTests()]),
  contract: contractTests,
  package: () => nodeTests(testFiles('package')),
};

/** The stages in the order in which they run; the last one closes the output with its counts. */
const ORDER = ['lint', 'rust', 'build', 'client', 'server', 'package', 'contract'];

async function main(wanted) {
  const unknown = wanted.filter((name) => !ORDER.includes(name));
  if (unknown.length) throw new Error(`no stage ${unknown.join(', ')}; there are ${ORDER.join(', ')}`);
  await setUp({ forTests: true });
  for (const name of ORDER.filter((stage) => wanted.length === 0 || wanted.includes(stage))) {
    const start = performance.now();
    const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
    console.log(`== ${name}`);
    await STAGES[name]().catch((error) => {
      throw new Error(`${name} failed after ${seconds()}: ${error.message}`);
    });
    if (name !== 'contract') console.log(`== ${name} ok: ${seconds()}`);
  }
  if (secondTries.length) console.log(`== passed only when run again, alone: ${secondTries.join(', ')}`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`test: ${error.message}`);
  process.exit(1);
});
