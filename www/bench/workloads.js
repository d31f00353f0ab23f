// The workloads, W1 to W9: what is timed and what is checked, in the page, end to end. A workload has parts that the
// runner calls in one tab or in several. Frames are made beforehand in each contender's own form; a call's message to
// its worker and back is timed for all of them.
import { checkSql, create, createKeyed, expected, GROUP_BY, makeColumns, verify } from './frame.js';

const ALL = 'SELECT * FROM ticks';
const now = () => performance.now();

async function timed(work) {
  const start = now();
  const value = await work();
  return { ms: now() - start, value };
}

/** Opens a database that does not exist yet. */
async function fresh(host, name, workload) {
  await host.remove(name);
  await host.open(name, workload);
}

async function check(host, ...specs) {
  verify(await host.one(checkSql('ticks')), expected(...specs.map(makeColumns)));
}

/** Waits for a moment that all tabs know. */
async function moment(at) {
  const left = at - Date.now();
  if (left > 5) await new Promise((resolve) => setTimeout(resolve, left - 5));
  while (Date.now() < at);
}

/**
 * Bulk append: one frame into a new table, again and again in one session, so that the first is cold and the others are
 * not. `setUp` makes the table beforehand, untimed.
 */
async function bulk(host, { rows = 100_000, warm = 2, runs = 3, setUp, workload }) {
  const spec = { rows, seed: 1 };
  await host.frame('bulk', spec);
  const wanted = expected(makeColumns(spec));
  const ms = [];
  const inside = [];
  let calls;
  await fresh(host, 'bulk.db', workload);
  for (let i = 0; i < warm + runs; i++) {
    const table = `ticks_${i}`;
    for (const sql of setUp?.(table) ?? []) await host.exec(sql);
    await host.calls();
    const { ms: took } = await timed(() => host.write('bulk', { table, create: !setUp }));
    inside.push(host.inside);
    calls = await host.calls();
    verify(await host.one(checkSql(table)), wanted);
    ms.push(took);
  }
  await host.close();
  await host.remove('bulk.db');
  return { first: ms[0], ms: ms.slice(warm), inside: inside.slice(warm), calls };
}

export const W1 = { run: (host, options) => bulk(host, { ...options, workload: 'W1' }) };

/** Small appends, each durable before the next begins. */
export const W2 = {
  async run(host, { appends = 200, rows = 10 } = {}) {
    const specs = Array.from({ length: appends }, (_, i) => ({ rows, seed: i + 1, firstId: i * rows }));
    await fresh(host, 'small.db', 'W2');
    await host.frame('first', { rows, seed: 9999, firstId: -rows });
    await host.write('first', { create: true });
    for (let i = 0; i < appends; i++) await host.frame(`small-${i}`, specs[i]);
    await host.calls();
    const ms = [];
    for (let i = 0; i < appends; i++) ms.push((await timed(() => host.write(`small-${i}`))).ms);
    const calls = await host.calls();
    await check(host, { rows, seed: 9999, firstId: -rows }, ...specs);
    await host.close();
    await host.remove('small.db');
    return { ms, calls };
  },
};

/** Reads of 100,000 rows, and a group-by over them. */
export const W3 = {
  async run(host, { rows = 100_000, warm = 1, runs = 3, arrow = true } = {}) {
    await fresh(host, 'read.db', 'W3');
    await host.frame('bulk', { rows, seed: 1 });
    await host.write('bulk', { create: true });
    const result = { arrow: [], rows: [], groupBy: [], rowsInside: [] };
    for (let i = 0; i < warm + runs; i++) {
      const keep = i >= warm;
      if (arrow) {
        const took = await timed(() => host.arrow(ALL));
        if (!(took.value > 0)) throw new Error('no Arrow came');
        if (keep) result.arrow.push(took.ms);
      }
      const all = await timed(() => host.rows(ALL));
      if (keep) result.rowsInside.push(host.inside);
      if (all.value.length !== rows || Number(all.value[rows - 1].id) !== rows - 1)
        throw new Error('rows are missing');
      const groups = await timed(() => host.rows(GROUP_BY));
      if (groups.value.length !== 50) throw new Error('groups are missing');
      if (keep) result.rows.push(all.ms);
      if (keep) result.groupBy.push(groups.ms);
    }
    await host.close();
    await host.remove('read.db');
    return result;
  },
};

/** Cold open of an existing file to the first answer: `prepare` in one tab, `cold` in a new one. */
export const W4 = {
  async prepare(host, { rows = 100_000 } = {}) {
    await fresh(host, 'cold.db', 'W4');
    await host.frame('bulk', { rows, seed: 1 });
    await host.write('bulk', { create: true });
    await host.close();
  },
  async cold(load, host) {
    const start = now();
    await load();
    const loaded = now();
    await host().open('cold.db', 'W4');
    const opened = now();
    const row = await host().one('SELECT price, note FROM ticks WHERE id = 99999');
    const ms = now() - start;
    if (typeof row?.price !== 'number') throw new Error('the first query found nothing');
    return { ms, load: loaded - start, open: opened - loaded };
  },
  async remove(host) {
    await host.close();
    await host.remove('cold.db');
  },
};

/** Several tabs append to one table at once. */
export const W5 = {
  async prepare(host) {
    await fresh(host, 'tabs.db', 'W5');
    await host.exec(create('ticks'));
    await host.close();
  },
  async ready(host, { tab, appends = 50, rows = 100 }) {
    for (let i = 0; i < appends; i++) {
      await host.frame(`tab-${i}`, {
        rows,
        seed: tab * appends + i + 1,
        firstId: (tab * appends + i) * rows,
      });
    }
    await host.open('tabs.db', 'W5');
  },
  async run(host, { at, appends = 50 }) {
    await moment(at);
    const start = Date.now();
    const ms = [];
    for (let i = 0; i < appends; i++) ms.push((await timed(() => host.write(`tab-${i}`))).ms);
    return { ms, start, end: Date.now() };
  },
  async check(host, { tabs, appends = 50, rows = 100 }) {
    const specs = Array.from({ length: tabs * appends }, (_, i) => ({
      rows,
      seed: i + 1,
      firstId: i * rows,
    }));
    await check(host, ...specs);
  },
  close: (host) => host.close(),
  remove: (host) => host.remove('tabs.db'),
};

/** Twenty bulk appends into one table. */
export const W6 = {
  async run(host, { rows = 100_000, frames = 20 } = {}) {
    const specs = Array.from({ length: frames }, (_, i) => ({ rows, seed: 1, firstId: i * rows }));
    await host.frame('bulk', specs[0]);
    await fresh(host, 'long.db', 'W6');
    for (let i = 0; i < 2; i++) await host.write('bulk', { table: `warm_${i}`, create: true });
    const ms = [];
    for (const [i, spec] of specs.entries()) {
      await host.frame('bulk', spec);
      ms.push((await timed(() => host.write('bulk', { create: i === 0 }))).ms);
    }
    await check(host, ...specs);
    return { ms };
  },
};

/** Bulk append into a table with a primary key and three indexes. */
export const W7 = {
  run: (host, options) => bulk(host, { ...options, setUp: createKeyed, workload: 'W7' }),
};

/** One tab appends while another reads in a loop; alone first, for comparison. */
export const W8 = {
  async prepare(host, { appends = 50, rows = 1000 } = {}) {
    await W5.prepare(host);
    await host.open('tabs.db', 'W8');
    for (let i = 0; i < appends; i++) await host.frame(`tab-${i}`, { rows, seed: i + 1, firstId: i * rows });
  },
  open: (host) => host.open('tabs.db', 'W8'),
  run: W5.run,
  async read(host, { until }) {
    const ms = [];
    let rows = 0;
    while (Date.now() < until && !globalThis.stopReading) {
      const { ms: took, value } = await timed(() =>
        host.one('SELECT count(*) AS n, sum(qty) AS qty FROM ticks'),
      );
      if (Number(value.n) < rows || Number(value.n) % 1000) throw new Error('a read saw half a frame');
      rows = Number(value.n);
      ms.push(took);
    }
    return { ms, rows };
  },
  async check(host, { appends = 50, rows = 1000 } = {}) {
    await check(
      host,
      ...Array.from({ length: appends }, (_, i) => ({ rows, seed: i + 1, firstId: i * rows })),
    );
  },
  close: W5.close,
  remove: W5.remove,
};

/**
 * Small reads, one after the other: a row by its key, and the last 20 rows of a symbol. The clock has steps of 0.1 ms,
 * so ten are timed together.
 */
export const W9 = {
  async run(host, { rows = 100_000, warm = 5, runs = 30 } = {}) {
    await fresh(host, 'points.db', 'W9');
    for (const sql of createKeyed('ticks')) await host.exec(sql);
    await host.frame('bulk', { rows, seed: 1 });
    await host.write('bulk');
    const result = { row: [], few: [] };
    for (let i = 0; i < warm + runs; i++) {
      const ids = Array.from({ length: 10 }, (_, k) => ((i * 10 + k) * 7919) % rows);
      const found = [];
      const row = await timed(async () => {
        for (const id of ids) found.push(await host.one(`SELECT * FROM ticks WHERE id = ${id}`));
      });
      if (found.some(({ id }, k) => Number(id) !== ids[k])) throw new Error('another row came');
      const few = await timed(async () => {
        for (const { sym } of found) {
          const last = await host.rows(
            `SELECT id, ts, price, sym FROM ticks WHERE sym = '${sym}' ORDER BY ts DESC LIMIT 20`,
          );
          if (last.length !== 20 || last.some((r) => r.sym !== sym)) throw new Error('other rows came');
        }
      });
      if (i < warm) continue;
      result.row.push(row.ms / 10);
      result.few.push(few.ms / 10);
    }
    await host.close();
    await host.remove('points.db');
    return result;
  },
};
