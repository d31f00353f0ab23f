// `node scripts/forward-cost.mjs`: what forwarding adds to an append, in real Chromium. Turns alternate between a database
// that forwards and one that does not, in one tab; the ratio of their medians counts. Once with the sender paused, which
// is the outbox alone, and once with it at work against a server on this machine; before a turn it has sent everything,
// so that a turn without forwarding has the machine to itself. Beside the time a caller waits there is the processor time
// of the databases' workers, which other work on the machine does not lengthen.
import { ForwardServer } from '../tests/contract/forward-server.mjs';
import { launch, workersMs } from '../tests/contract/harness.mjs';

const SIZES = process.env.ONLY
  ? JSON.parse(process.env.ONLY)
  : [
      { rows: 100, frames: 200, turns: 8 },
      { rows: 10_000, frames: 40, turns: 6 },
      { rows: 100_000, frames: 4, turns: 6 },
    ];

/** Opens both databases and makes the frame. Runs in the page. */
async function prepare(url, paused, { rows }) {
  const name = `cost-${rows}-${paused}`;
  globalThis.plain = await framelock.openDatabase(`${name}-plain`);
  globalThis.forwards = await framelock.openDatabase(name, { forward: { url, tables: ['t'] } });
  if (paused) await forwards.forwarding.pause();
  const n = Int32Array.from({ length: rows }, (_, i) => i);
  globalThis.frame = {
    id: BigInt64Array.from(n, BigInt),
    a: Float64Array.from(n, (i) => i / 7),
    b: Float64Array.from(n, (i) => i * 1.5),
    c: Int32Array.from(n, (i) => i % 97),
    d: Float64Array.from(n, Math.sqrt),
    e: BigInt64Array.from(n, (i) => BigInt(i) * 1_000_003n),
    word: Array.from(n, (i) => `word ${i % 1000}`),
    note: Array.from(n, (i) => `a note on row ${i}`),
  };
}

/** Appends; gives the milliseconds that took. Runs in the page. */
async function turn(which, frames) {
  const start = performance.now();
  for (let i = 0; i < frames; i++) await globalThis[which].appendFrame('t', frame);
  return performance.now() - start;
}

/** Until everything is sent, and that is written down, half a second later. Runs in the page. */
async function sent(paused) {
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  while (!paused && (await forwards.status()).forwarding.pending > 0) await pause(50);
  await pause(paused ? 0 : 1000);
}

async function measure(tab, url, paused, size) {
  await tab.run(prepare, url, paused, size);
  const pid = await tab.processId();
  const wall = { plain: [], forwards: [] };
  const busy = { plain: [], forwards: [] };
  // The first turns only warm up.
  for (let i = -1; i < size.turns; i++) {
    // Whoever comes second finds a warmer machine: they take turns at that, too.
    for (const which of i % 2 ? ['plain', 'forwards'] : ['forwards', 'plain']) {
      await tab.run(sent, paused);
      const before = workersMs(pid);
      const ms = await tab.run(turn, which, size.frames);
      if (i < 0) continue;
      wall[which].push(ms);
      busy[which].push(workersMs(pid) - before);
    }
  }
  await tab.run(() => Promise.all([plain.close(), forwards.close()]));
  return [wall, busy].map(({ plain, forwards }) => [median(plain), median(forwards)]);
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const server = await new ForwardServer().start();
server.reads = false;
const browser = await launch('chromium');
try {
  console.log(
    '| rows | frames | sender | without, ms | with, ms | ratio | processor, ms | with, ms | ratio |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|');
  for (const paused of [true, false]) {
    for (const size of SIZES) {
      const tab = await browser.newTab();
      const pairs = await measure(tab, server.url, paused, size);
      const cells = pairs.map(([a, b]) => `${a.toFixed(1)} | ${b.toFixed(1)} | ${(b / a).toFixed(2)}`);
      console.log(`| ${[size.rows, size.frames, paused ? 'paused' : 'at work', ...cells].join(' | ')} |`);
      await tab.close();
    }
  }
} finally {
  await browser.close();
  await server.stop();
}
