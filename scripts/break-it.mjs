// `node scripts/break-it.mjs [name…]`: breaks the product in each way of tests/sim/mutations.mjs, one at a time, in a copy of
// the tree, and shows which check of the simulator catches it. Ends with a non-zero code when one gets through.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { mutations } from '../tests/sim/mutations.mjs';
import { cargoEnv, root } from './toolchain.mjs';

/** As many worlds and power cuts as it takes to notice; the unbroken product passes them all. */
const RUN = ['--seeds', '2000', '--cuts', '4000', '--as-is', '--enough', '3'];
const copy = join(root, 'target', 'break-it');

/** A fresh copy of what the simulator is built from. */
function freshCopy() {
  for (const part of [
    'src',
    'tests/sim',
    'tests/fidelity',
    'Cargo.toml',
    'Cargo.lock',
    'rust-toolchain.toml',
  ]) {
    rmSync(join(copy, part), { recursive: true, force: true });
    mkdirSync(join(copy, part, '..'), { recursive: true });
    // With new times: cargo would take what was mended for what was built last.
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
}

function breakIn({ name, file, find, replace }) {
  const path = join(copy, file);
  const text = readFileSync(path, 'utf8');
  if (text.split(find).length !== 2) throw new Error(`${name}: ${file} does not hold its text exactly once`);
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
}

/** Builds the simulator of the copy, quickly: only what it depends on is optimised. Gives its executable. */
function build() {
  const args = [
    'build',
    '--quiet',
    '--profile',
    'sim',
    '--test',
    'sim',
    '--message-format',
    'json',
    '--config',
    'profile.sim.package.framelock.opt-level=0',
  ];
  const env = {
    CARGO_TARGET_DIR: join(root, 'target'),
    ...process.env,
    ...cargoEnv(),
    CARGO_INCREMENTAL: '1',
  };
  const { stdout, status } = spawnSync('cargo', args, {
    cwd: copy,
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 28,
  });
  const messages = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
  if (status !== 0) throw new Error(messages.map(({ message }) => message?.rendered ?? '').join(''));
  return messages.findLast(({ target, executable }) => executable && target.name === 'sim').executable;
}

/** Runs the simulator of the copy: the checks that failed, with how many seeds and power-cut runs each. */
function simulate() {
  const { stdout, status } = spawnSync(build(), RUN, { cwd: copy, encoding: 'utf8', timeout: 900_000 });
  const caught = {};
  const add = (check) => (caught[check] = (caught[check] ?? 0) + 1);
  for (const [, check] of stdout.matchAll(/^sim: seed \d+ fails: (\w+):/gm)) add(check);
  for (const [, check] of stdout.matchAll(/^sim: seed \d+ fails too, by (\w+)/gm)) add(check);
  for (const [, check] of stdout.matchAll(/^sim: run \d+, cut after step \d+: (\w+):/gm))
    add(`power cut ${check}`);
  if (status !== 0 && Object.keys(caught).length === 0) add(`exit code ${status}`);
  const example = stdout.match(/^sim: (?:seed \d+ fails|run \d+, cut).*$/m)?.[0] ?? '';
  return { caught, example };
}

const wanted = process.argv.slice(2);
const chosen = mutations.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
let missed = 0;
console.log('| broken | how | caught by (seeds) | an example |\n|---|---|---|---|');
for (const mutation of chosen) {
  freshCopy();
  breakIn(mutation);
  const { caught, example } = simulate();
  const checks = Object.entries(caught).sort(([, a], [, b]) => b - a);
  if (checks.length === 0) missed++;
  const list = checks.map(([check, count]) => `${check} (${count})`).join(', ') || '**nothing**';
  const shown = example
    .replace(/^sim: /, '')
    .replaceAll('|', '/')
    .slice(0, 150);
  console.log(`| ${mutation.name} | ${mutation.what} | ${list} | ${shown} |`);
}
console.log(`\n${chosen.length - missed} of ${chosen.length} caught`);
process.exit(missed === 0 ? 0 : 1);
