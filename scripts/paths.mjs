// What an append of one row takes on each path, in both browsers with two real tabs: `node scripts/paths.mjs`.
// Prints p50 and p99 in milliseconds, from the call to the receipt. For docs/performance.md; nothing is checked here.
import { launch } from '../tests/contract/harness.mjs';

const APPENDS = 200;

/** Appends one after the other in a page; gives how long each took and which way it went. */
async function appendAll({ appends, options, pauseMs }) {
  const seen = [];
  for (let i = 0; i < appends; i++) {
    const start = performance.now();
    const { path } = await db.appendFrame('t', { n: [i] }, options);
    seen.push([path, performance.now() - start]);
    if (pauseMs) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return seen;
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

function print(browser, what, path, seen) {
  const times = seen.filter(([taken]) => taken === path).map(([, ms]) => ms);
  if (times.length === 0) return console.log(`| ${browser} | ${what} | none went this way | |`);
  times.sort((a, b) => a - b);
  const [p50, p99] = [0.5, 0.99].map((q) => quantile(times, q).toFixed(1));
  console.log(`| ${browser} | ${what} | ${p50} | ${p99} |`);
}

async function measure(name) {
  const browser = await launch(name);
  try {
    const [a, b] = [await browser.newTab(), await browser.newTab()];
    const open = async () => void (globalThis.db = await framelock.openDatabase('paths'));
    await a.run(open);
    await b.run(open);
    await a.run(appendAll, { appends: 20, options: {} });
    print(name, 'direct, lease held', 'direct', await a.run(appendAll, { appends: APPENDS, options: {} }));

    // Each in turn, with time to come to rest: every append takes the lease from an idle tab.
    const turns = [];
    for (let i = 0; i < APPENDS / 2; i++) {
      for (const tab of [a, b])
        turns.push(...(await tab.run(appendAll, { appends: 1, options: {}, pauseMs: 20 })));
    }
    print(name, 'direct, lease handed over by an idle tab', 'direct', turns);

    // The other tab holds the lease and has nothing to do.
    await a.run(appendAll, { appends: 5, options: {} });
    const handoff = { retry: { attempts: 0 } };
    const offered = [];
    for (let i = 0; i < APPENDS / 2; i++) {
      offered.push(...(await b.run(appendAll, { appends: 1, options: handoff, pauseMs: 5 })));
      await a.run(appendAll, { appends: 1, options: {} });
    }
    print(name, 'handoff', 'handoff', offered);

    const queue = { fallback: 'queue', retry: { attempts: 0 } };
    await a.run(
      () =>
        new Promise((held) => {
          db.transaction(async (tx) => {
            await tx.exec('SELECT 1');
            held();
            await new Promise((resolve) => (globalThis.release = resolve));
          });
        }),
    );
    print(name, 'queued', 'queued', await b.run(appendAll, { appends: APPENDS / 2, options: queue }));
    await a.run(() => release());
    await b.run(() => db.drain());
  } finally {
    await browser.close();
  }
}

console.log('| browser | path | p50 | p99 |\n|---|---|--:|--:|');
for (const name of ['chromium', 'firefox']) await measure(name);
