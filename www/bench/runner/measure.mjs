// Which workload is run how: which contenders, in how many tabs, and what becomes of the numbers. Each function does
// one round of one contender and returns samples by metric; the runner interleaves them.
import { setTimeout as sleep } from 'node:timers/promises';
import { downloadSize } from './browser.mjs';
import { runNative } from './native.mjs';

const TABS = 4;

/** Runs `work` with a tab and closes it whatever happens. */
async function inTab(browser, contender, work, options = {}) {
  const { isolated } = contender;
  const visit = await browser.visit(contender.name, { isolated, clean: true, ...options });
  try {
    return await work(visit);
  } finally {
    await visit.close().catch(() => {});
  }
}

/** The part that is common to W1 and W7. */
const bulk = (workload) => async (browser, contender, options) => {
  if (contender.native) return nativeRound(contender, options);
  return inTab(
    browser,
    contender,
    async (visit) => {
      const { ms, first, calls } = await visit.run(workload, 'run', options);
      return options.count ? { calls } : { ms, first: [first] };
    },
    options,
  );
};

/** All native contenders are timed by one process; the first one asked starts it and the others take their part. */
let native = {};
function nativeRound({ name }, { rows = 100_000 }) {
  if (!native[name]?.length) native = runNative({ rows, rounds: 3 }).times;
  const ms = native[name];
  delete native[name];
  return { ms };
}

const percentile = (values, p) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)];
};

/** Several tabs of one contender, opened and closed together. */
async function inTabs(browser, contender, count, work) {
  const visits = [];
  try {
    for (let i = 0; i < count; i++) {
      const { isolated, name } = contender;
      visits.push(await browser.visit(name, { isolated, clean: i === 0 }));
    }
    return await work(visits);
  } finally {
    await Promise.all(visits.map((visit) => visit.close().catch(() => {})));
  }
}

export const WORKLOADS = {
  W1: {
    title: 'bulk append, Arrow bytes in, receipt out: 100,000 rows x 8',
    unit: 'ms',
    main: 'ms',
    native: true,
    firefox: ['framelock', 'wa-pool', 'wa-coop', 'sahpool', 'expert'],
    round: bulk('W1'),
  },
  W2: {
    title: '200 appends of 10 rows, each its own durable transaction',
    unit: 'ms',
    main: 'p50',
    round: (browser, contender, options) =>
      inTab(
        browser,
        contender,
        async (visit) => {
          const { ms, calls } = await visit.run('W2', 'run', options);
          if (options.count) return { calls };
          return { p50: [percentile(ms, 0.5)], p99: [percentile(ms, 0.99)] };
        },
        options,
      ),
  },
  W3: {
    title: 'read 100,000 rows: as objects in the page, as Arrow, and a group-by',
    unit: 'ms',
    main: 'rows',
    round: (browser, contender, options) =>
      inTab(browser, contender, (visit) =>
        visit.run('W3', 'run', { ...options, arrow: ['framelock', 'duckdb'].includes(contender.name) }),
      ),
  },
  W4: {
    title: 'cold open of a 100,000-row file to the first answer, in a new tab',
    unit: 'ms',
    main: 'ms',
    skip: ['memory'],
    once: (browser, contender) => downloadSize(browser, contender.name, { isolated: contender.isolated }),
    async round(browser, contender, options) {
      await inTab(browser, contender, (visit) => visit.run('W4', 'prepare', options));
      const result = await inTab(
        browser,
        contender,
        async (visit) => {
          const cold = await visit.call('cold', contender.name, options);
          await visit.run('W4', 'remove');
          return cold;
        },
        { load: false, clean: false },
      );
      return { ms: [result.ms], load: [result.load], open: [result.open] };
    },
  },
  W5: {
    title: '4 tabs x 50 appends x 100 rows into one table at once',
    unit: 'ms',
    main: 'wall',
    tabs: true,
    round: (browser, contender, options) =>
      inTabs(browser, contender, TABS, async (visits) => {
        await visits[0].run('W5', 'prepare', options);
        for (const [tab, visit] of visits.entries()) await visit.run('W5', 'ready', { ...options, tab });
        const at = Date.now() + 300;
        const parts = await Promise.all(visits.map((visit) => visit.run('W5', 'run', { ...options, at })));
        const wall =
          Math.max(...parts.map((part) => part.end)) - Math.min(...parts.map((part) => part.start));
        await visits[0].run('W5', 'check', { ...options, tabs: TABS });
        await Promise.all(visits.map((visit) => visit.run('W5', 'close')));
        await visits[0].run('W5', 'remove');
        const all = parts.flatMap((part) => part.ms);
        return {
          wall: [wall],
          p50: [percentile(all, 0.5)],
          p99: [percentile(all, 0.99)],
          worst: [Math.max(...all)],
        };
      }),
  },
  W6: {
    title: '20 x W1 into one table: the last against the first, and memory',
    unit: 'ms',
    main: 'all',
    skip: ['memory'],
    round: (browser, contender, options) =>
      inTab(browser, contender, async (visit) => {
        const { ms } = await visit.run('W6', 'run', options);
        // Some peers' workers do not survive being looked at.
        const memory = await visit.wasmMemory().catch(() => NaN);
        // The middle of the first and of the last three: a single one says little.
        const middle = (values) => percentile(values, 0.5);
        const ratio = middle(ms.slice(0, 3)) / middle(ms.slice(-3));
        return { all: [ms.reduce((sum, value) => sum + value)], ratio: [ratio], MiB: [memory / 2 ** 20] };
      }),
  },
  W7: {
    title: 'W1 with a primary key and three secondary indexes',
    unit: 'ms',
    main: 'ms',
    skip: ['duckdb', 'pglite'],
    round: bulk('W7'),
  },
  W8: {
    title: '50 appends of 1,000 rows while another tab reads in a loop',
    unit: 'ms',
    main: 'p50',
    tabs: true,
    round: (browser, contender, options) =>
      inTabs(browser, contender, 2, async ([writer, reader]) => {
        await writer.run('W8', 'prepare', options);
        await reader.run('W8', 'open');
        const at = Date.now() + 200;
        const reads = reader.run('W8', 'read', { until: at + 60_000 });
        reads.catch(() => {});
        const { ms } = await writer.run('W8', 'run', { ...options, at });
        await sleep(50);
        await reader.page.evaluate('globalThis.stopReading = true');
        const read = await reads;
        await writer.run('W8', 'check', options);
        await Promise.all([writer.run('W8', 'close'), reader.run('W8', 'close')]);
        await writer.run('W8', 'remove');
        const [p50, p99] = [percentile(ms, 0.5), percentile(ms, 0.99)];
        return { p50: [p50], p99: [p99], 'read p50': [percentile(read.ms, 0.5)], reads: [read.ms.length] };
      }),
  },
  W9: {
    title: '300 small reads of 100,000 rows: one row by its key, and the last 20 of a symbol',
    unit: 'ms',
    main: 'p50',
    skip: ['duckdb', 'pglite'],
    round: (browser, contender, options) =>
      inTab(browser, contender, async (visit) => {
        const { row, few } = await visit.run('W9', 'run', options);
        return {
          p50: [percentile(row, 0.5)],
          p99: [percentile(row, 0.99)],
          '20 rows': [percentile(few, 0.5)],
        };
      }),
  },
};

/** In the order in which they matter. */
export const ORDER = ['W1', 'W2', 'W3', 'W5', 'W6', 'W4', 'W7', 'W8', 'W9'];
