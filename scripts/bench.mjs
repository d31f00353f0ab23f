// The benchmarks: framelock and its peers, interleaved, in one real Chromium with a profile on disk, then a few in
// Firefox and natively. Prints tables and the machine's facts, saves JSON and a plot under .cache/bench.
//   npm run bench -- --only W1,W2 --rounds 5 --contenders framelock,sahpool --browsers chromium --rows 100000
// --dist takes another build of the package.
// --calls counts storage calls instead of timing (W1, W2, W7): calls, MiB and milliseconds of each kind.
// Before each turn it waits up to --patience seconds for the machine to be quiet.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CONTENDERS } from '../www/bench/contenders/index.js';
import { startBrowser } from '../www/bench/runner/browser.mjs';
import { ORDER, WORKLOADS } from '../www/bench/runner/measure.mjs';
import { NATIVE } from '../www/bench/runner/native.mjs';
import { quiet } from '../www/bench/runner/quiet.mjs';
import { callsTable, plot, table } from '../www/bench/runner/report.mjs';
import { build } from './build.mjs';
import { setUp } from './setup.mjs';
import { dist, root } from './toolchain.mjs';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    contenders: { type: 'string' },
    browsers: { type: 'string', default: 'chromium,firefox' },
    rows: { type: 'string', default: '100000' },
    patience: { type: 'string', default: '20' },
    dist: { type: 'string' },
    calls: { type: 'boolean', default: false },
    out: { type: 'string', default: join(root, '.cache', 'bench', 'results') },
  },
});

const all = { ...CONTENDERS, ...NATIVE };
const list = (text, known, what) => {
  const names = text?.split(',') ?? known;
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length) throw new Error(`no ${what} ${unknown.join(', ')}; there are ${known.join(', ')}`);
  return known.filter((name) => names.includes(name));
};

/** The versions of what is compared. */
function versions() {
  const version = (name) =>
    JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version;
  const names = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).devDependencies);
  const peers = names.filter((name) => /sqlite|duckdb|pglite/.test(name));
  return Object.fromEntries(peers.map((name) => [name, version(name)]));
}

const machine = () => ({
  cpu: `${cpus().length} x ${cpus()[0].model}`,
  memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
  load: loadavg().map((load) => Number(load.toFixed(2))),
  node: process.version,
});

/** The contenders that take part in a workload in one browser. */
function contendersOf(id, workload, browser, wanted) {
  const fits = (name) => {
    if (name in NATIVE) return workload.native && browser === 'chromium';
    const { tabs, only } = CONTENDERS[name];
    if (workload.skip?.includes(name) || (workload.tabs && !tabs) || (only && only !== id)) return false;
    return browser === 'chromium' || workload.firefox?.includes(name);
  };
  const names = wanted.filter(fits);
  return names.map((name) => ({ name, native: name in NATIVE, ...all[name] }));
}

/** All rounds of one workload: every contender once in each, the order turned by one every time. */
async function measure(browser, id, rounds, wanted, given) {
  const workload = WORKLOADS[id];
  const contenders = contendersOf(id, workload, browser.name, wanted);
  const results = Object.fromEntries(contenders.map(({ name, title }) => [name, { title, samples: {} }]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const contender = contenders[(i + round) % contenders.length];
      const result = results[contender.name];
      if (result.failures > 1) continue;
      if (!(await quiet(1000 * Number(options.patience)))) result.noisy = (result.noisy ?? 0) + 1;
      try {
        const samples = await workload.round(browser, contender, given);
        if (options.calls) result.samples = samples;
        else
          for (const [name, values] of Object.entries(samples)) (result.samples[name] ??= []).push(...values);
        if (round === 0 && workload.once && !options.calls)
          result.once = await workload.once(browser, contender).catch(() => undefined);
      } catch (error) {
        result.failures = (result.failures ?? 0) + 1;
        result.error = error.message;
        console.error(`${id} ${contender.name}: ${error.message}`);
      }
      process.stderr.write(
        process.stderr.isTTY ? `\r${id} ${round + 1}/${rounds} ${contender.name.padEnd(30)}` : '',
      );
    }
  }
  if (process.stderr.isTTY) process.stderr.write('\r'.padEnd(60) + '\r');
  return results;
}

async function main() {
  const rounds = Number(options.rounds);
  const ids = list(options.only, ORDER, 'workload');
  const wanted = list(options.contenders, Object.keys(all), 'contender');
  await setUp();
  if (!existsSync(join(dist, 'index.js'))) await build({ sizes: false });
  const report = { date: new Date().toISOString(), machine: machine(), versions: versions(), results: {} };
  const { cpu, memory, load } = report.machine;
  console.log(`machine: ${cpu}, ${memory}, load ${load.join(' ')}`);
  console.log(
    `peers: ${Object.entries(report.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}\n`,
  );
  for (const name of list(options.browsers, ['chromium', 'firefox'], 'browser')) {
    const part = name === 'firefox' ? ids.filter((id) => WORKLOADS[id].firefox) : ids;
    if (part.length === 0) continue;
    const browser = await startBrowser(name, { dist: options.dist });
    try {
      console.log(`## ${browser.version}\n`);
      report.results[name] = { version: browser.version };
      for (const id of part) {
        const results = await measure(browser, id, rounds, wanted, {
          rows: rowsOf(id),
          count: options.calls,
        });
        report.results[name][id] = results;
        console.log(`### ${id}: ${(options.calls ? callsTable : table)(WORKLOADS[id], results)}`);
      }
    } finally {
      await browser.close();
    }
  }
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, 'bench.json'), JSON.stringify(report, null, 1));
  const shown = ORDER.map((id) => [id, WORKLOADS[id]]);
  writeFileSync(
    join(options.out, 'bench.svg'),
    plot(shown, report.results.chromium ?? report.results.firefox),
  );
  console.log(`saved bench.json and bench.svg`);
}

/** Only workloads of whole frames take another size; the small appends keep theirs. */
const rowsOf = (id) => (['W2', 'W5', 'W8', 'W9'].includes(id) ? undefined : Number(options.rows));

main().catch((error) => {
  console.error(`bench: ${error.stack}`);
  process.exit(1);
});
