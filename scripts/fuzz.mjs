// `npm run fuzz`: each target of fuzz/ for FUZZ_SECONDS (default 60) on seeded mutations of the fixtures (tests/frame/
// mutations.rs). `npm run fuzz -- --libfuzzer` lets cargo-fuzz do it instead, which is led by coverage and keeps what it
// finds in .cache/fuzz. `npm run fuzz -- decode rows` takes some targets. A find ends it with a non-zero exit code.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheCargo, cargoEnv, LOCKED, root, run } from './toolchain.mjs';

/** The targets, and the tests that run them without a fuzzer. */
const TESTS = {
  decode: 'mutations_of_ipc_bytes',
  tables: 'mutations_of_table_objects',
  rows: 'mutations_of_plain_values',
  texts: 'mutations_of_texts_in_typed_columns',
};
const TARGETS = Object.keys(TESTS);
const seconds = Number(process.env.FUZZ_SECONDS ?? 60);
const folder = join(root, 'fuzz');
const found = (target) => join(root, '.cache', 'fuzz', target);

/** libFuzzer's instrumentation is an unstable option: a nightly where there is one, else stable that is told to. */
function environment() {
  const shown = spawnSync('rustup', ['toolchain', 'list'], { encoding: 'utf8' }).stdout ?? '';
  const nightly = shown.split('\n').find((name) => name.startsWith('nightly'));
  const env = { ...process.env, PATH: `${join(cacheCargo, 'bin')}:${process.env.PATH}` };
  env.CARGO_TARGET_DIR = join(root, '.cache', 'fuzz-target');
  return nightly ? { ...env, RUSTUP_TOOLCHAIN: nightly.split(' ')[0] } : { ...env, RUSTC_BOOTSTRAP: '1' };
}

/** The parts of a file of fixtures: each preceded by its length. */
function* parts(file) {
  const bytes = readFileSync(join(root, 'tests', 'frame', 'fixtures', file));
  let at = 0;
  const next = () => {
    const length = bytes.readUInt32LE(at);
    at += 4 + length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const [name, ipc] = [next().toString(), next()];
    if (file === 'pyarrow.bin') {
      yield { name, ipc };
      continue;
    }
    const descriptor = next();
    const count = bytes.readUInt32LE(at);
    at += 4;
    yield { name, ipc, table: [descriptor, ...Array.from({ length: count }, next)] };
  }
}

/** A table as the targets take it: each part preceded by its length as u32 LE. */
const joined = (table) =>
  Buffer.concat(
    table.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(part.length);
      return [length, part];
    }),
  );

/** Texts of every kind, one for each type that is stored as text; the byte before picks the type. */
const TEXTS = [
  [14, '-0.01'],
  [16, '12345678901234567890.123456789'],
  [18, '-0044-03-15'],
  [19, '+12024-02-29T23:59:59.999'],
  [21, '12:34:56.000000001'],
  [23, '2024-02-29 23:59:59.5+05:30'],
  [25, 'P-14M'],
  [26, 'P-3DT0.500S'],
  [27, 'P1M-2DT0.000000003S'],
  [29, '["1.00",null]'],
  [30, '[0.1,"NaN","-Infinity"]'],
  [31, '["-1",null]'],
  [32, '{"a":[["k\\u0000\\ud83d\\ude00",1.5]],"é":"AAE=","d":"x"}'],
  [33, '[["9007199254740993",[true,null]]]'],
];

/** Writes the seeds that need not be committed, since they come from elsewhere. */
function seed() {
  for (const target of TARGETS) mkdirSync(found(target), { recursive: true });
  const write = (target, name, bytes) =>
    writeFileSync(join(found(target), `seed-${name.replaceAll(/\W+/g, '-')}`), bytes);
  for (const file of ['pyarrow.bin', 'raw.bin', 'packed.bin']) {
    for (const { name, ipc, table } of parts(file)) {
      write('decode', name, ipc);
      if (file === 'raw.bin') write('tables', name, joined(table));
      for (const type of file === 'packed.bin' ? [3, 7, 9, 16, 23] : []) {
        write('rows', `${name} ${type}`, Buffer.concat([Buffer.of(type), joined(table)]));
      }
    }
  }
  for (const [type, text] of TEXTS) write('texts', `${type}`, Buffer.from([type, ...Buffer.from(text)]));
}

/** Seeded mutations, one target after the other. */
async function mutations(targets) {
  const env = { ...cargoEnv(), FRAMELOCK_FUZZ_SECONDS: String(seconds) };
  const tests = targets.map((target) => TESTS[target]);
  const args = ['test', ...LOCKED, '--quiet', '--test', 'frame', '--', '--nocapture', '--test-threads=1'];
  await run('cargo', [...args, ...tests], { env });
}

/** cargo-fuzz, one target after the other. */
async function libFuzzer(targets) {
  const env = environment();
  if (!existsSync(join(cacheCargo, 'bin', 'cargo-fuzz'))) {
    await run('cargo', ['install', 'cargo-fuzz', '--root', cacheCargo, '--quiet'], { env, cwd: '/' });
  }
  seed();
  for (const target of targets) {
    const committed = join(folder, 'corpus', target);
    mkdirSync(committed, { recursive: true });
    console.log(`== ${target}: ${seconds} s, ${readdirSync(found(target)).length} inputs known`);
    // What is found goes to the first folder, so that the committed corpus stays small.
    const corpora = [found(target), committed];
    const limits = [`-max_total_time=${seconds}`, '-rss_limit_mb=2048', '-timeout=20', '-max_len=20000'];
    await run('cargo', ['fuzz', 'run', target, ...corpora, '--', ...limits], { env, cwd: folder });
  }
}

async function main(args) {
  const wanted = args.filter((arg) => arg !== '--libfuzzer');
  const unknown = wanted.filter((name) => !TARGETS.includes(name));
  if (unknown.length) throw new Error(`no target ${unknown}; there are ${TARGETS.join(', ')}`);
  const targets = TARGETS.filter((name) => wanted.length === 0 || wanted.includes(name));
  await (args.includes('--libfuzzer') ? libFuzzer(targets) : mutations(targets));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`fuzz: ${error.message}`);
  process.exit(1);
});
