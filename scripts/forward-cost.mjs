// `node scripts/forward-cost.mjs`: what forwarding adds to an append, in real Chromium. Turns alternate between a database
// that forwards and one that does not, in one tab; the ratio of their medians counts. Once with the sender paused, which
// is the outbox alone, and once with it at work against a server on this machine.
import { setTimeout as sleep } from 'node:timers/promises';
import { ForwardServer } from '../tests/contract/forward-server.mjs';
import { launch } from '../tests/contract/harness.mjs';

const SIZES = [
  { rows: 100, frames: 40, turns: 8 },
  { rows: 10_000, frames: 4, turns: 6 },
  { rows: 100_000, frames: 1, turns: 7 },
];

/** Milliseconds of each turn, both ways. Runs in the page. */
async function measure(url, paused, { rows, frames, turns }) {
  const name = `cost-${rows}-${paused}`;
  const plain = await framelock.openDatabase(`${name}-plain`);
  const forwards = await framelock.openDatabase(name, { forward: { url, tables: ['t'] } });
  if (paused) await forwards.forwarding.pause();
  const n = Int32Array.from({ length: rows }, (_, i) => i);
  const frame = {
    id: BigInt64Array.from(n, BigInt),
    a: Float64Array.from(n, (i) => i / 7),
    b: Float64Array.from(n, (i) => i * 1.5),
    c: Int32Array.from(n, (i) => i % 97),
    d: Float64Array.from(n, Math.sqrt),
    e: BigInt64Array.from(n, (i) => BigInt(i) * 1_000_003n),
    word: Array.from(n, (i) => `word ${i % 1000}`),
    note: Array.from(n, (i) => `a note on row ${i}`),
  };
  const turn = async (db) => {
    const start = performance.now();
    for (let i = 0; i < frames; i++) await db.appendFrame('t', frame);
    return performance.now() - start;
  };
  const ms = { plain: [], forwards: [] };
  await turn(plain);
  await turn(forwards);
  for (let i = 0; i < turns; i++) {
    // Whoever comes second finds a warmer machine: they take turns at that, too.
    const order = i % 2 ? ['plain', 'forwards'] : ['forwards', 'plain'];
    for (const which of order) ms[which].push(await turn(which === 'plain' ? plain : forwards));
  }
  await Promise.all([plain.close(), forwards.close()]);
  return ms;
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const server = await new ForwardServer().start();
server.reads = false;
const browser = await launch('chromium');
try {
  console.log('| rows | frames | sender | without, ms | with, ms | ratio |\n|---|---|---|---|---|---|');
  for (const paused of [true, false]) {
    for (const size of SIZES) {
      const tab = await browser.newTab();
      const { plain, forwards } = await tab.run(measure, server.url, paused, size);
      const [a, b] = [median(plain), median(forwards)];
      const cells = [size.rows, size.frames, paused ? 'paused' : 'at work', a.toFixed(1), b.toFixed(1)];
      console.log(`| ${cells.join(' | ')} | ${(b / a).toFixed(2)} |`);
      await tab.close();
      await sleep(200);
    }
  }
} finally {
  await browser.close();
  await server.stop();
}
