// A histogram that SQLite counts and SVG draws: which column and which bins, the query, and the picture.
import { count, svg } from './text.js';

/** About how many bins a column of unknown range gets. */
const BINS = 40;
/** The share of rows at either end that is left out of the picture, so that a few far values do not flatten it. */
const TAIL = 0.002;

/** A table's or column's name in SQL. */
export const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/** The next round number at or above a positive one: a power of ten times one of the factors. */
function niceStep(atLeast, factors) {
  const power = 10 ** Math.floor(Math.log10(atLeast));
  return factors.map((factor) => factor * power).find((step) => step >= atLeast * (1 - 1e-9));
}

/** The column to draw: `delay`, else the first one with numbers; undefined when the table has none. */
async function chooseColumn(db, table) {
  const columns = await db.query(`SELECT name, type FROM pragma_table_info(?)`, [table]);
  const numbers = columns.filter(({ type }) => type === 'INTEGER' || type === 'REAL');
  return (numbers.find(({ name }) => name === 'delay') ?? numbers[0])?.name;
}

/** The width of a bin: 10 minutes for delays, else what makes about BINS bins of the column's range. */
async function chooseStep(db, table, column) {
  if (column === 'delay') return 10;
  const sql = `SELECT min(${quoted(column)}) AS low, max(${quoted(column)}) AS high FROM ${quoted(table)}`;
  const [{ low, high }] = await db.query(sql);
  return low === null || low === high ? 1 : niceStep((Number(high) - Number(low)) / BINS, [1, 2, 5, 10]);
}

/** What to draw of a table: its column of numbers and the width of a bin, where it has such a column; or nothing. */
async function plan(db, table) {
  const [exists] = await db.query(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?`, [table]);
  if (!exists) return undefined;
  const column = await chooseColumn(db, table);
  return { table, column, step: column === undefined ? undefined : await chooseStep(db, table, column) };
}

/**
 * The SQL that counts rows by bins. SQLite's division of integers cuts towards zero and would pour two bins into the
 * one at 0: hence floor().
 */
function countingSql({ table, column, step }) {
  if (column === undefined) return `SELECT NULL AS bin, count(*) AS n\nFROM ${quoted(table)}`;
  const bin = `floor(${quoted(column)} / ${Number.isInteger(step) ? step.toFixed(1) : step}) * ${step}`;
  return `SELECT ${bin} AS bin, count(*) AS n\nFROM ${quoted(table)}\nGROUP BY bin\nORDER BY bin`;
}

/**
 * Reads a table's histogram: `rows` in all, `bins` as `{ from, n }` in order, and the SQL that counted them. Each query
 * takes a lease of its own, so that one histogram follows the plan of the `last` one of the table while that fits.
 */
export async function readHistogram(db, table, last) {
  const planned = last?.table === table && last.bins.length < 4 * BINS;
  const chosen = planned ? last : await plan(db, table);
  if (!chosen) return { rows: 0, bins: [] };
  const { column, step } = chosen;
  const sql = countingSql(chosen);
  const start = performance.now();
  let found;
  try {
    found = await db.query(sql);
  } catch (error) {
    // Another tab dropped the table or changed it.
    if (planned && error.code === 'SQL') return readHistogram(db, table);
    throw error;
  }
  const ms = performance.now() - start;
  const rows = found.reduce((sum, { n }) => sum + n, 0);
  const bins = found.filter(({ bin }) => bin !== null).map(({ bin, n }) => ({ from: Number(bin), n }));
  return { table, rows, bins, column, step, sql, ms };
}

/** The bins without the two tails, gaps filled, and how many rows were left out. */
function visible({ bins, step }) {
  const total = bins.reduce((sum, { n }) => sum + n, 0);
  const edge = total * TAIL;
  const cut = (list) => {
    let passed = 0;
    return list.findIndex(({ n }) => (passed += n) > edge);
  };
  const kept = bins.slice(cut(bins), bins.length - cut([...bins].reverse()));
  const counts = new Map(kept.map(({ from, n }) => [Math.round(from / step), n]));
  const first = Math.round(kept[0].from / step);
  const last = Math.round(kept.at(-1).from / step);
  const shown = Array.from({ length: last - first + 1 }, (_, i) => ({
    from: (first + i) * step,
    n: counts.get(first + i) ?? 0,
  }));
  return { shown, beyond: total - shown.reduce((sum, { n }) => sum + n, 0) };
}

/** Round numbers between two, at most `most` of them. */
function ticks(low, high, most) {
  const step = niceStep((high - low) / most || 1, [1, 2, 2.5, 5, 10]);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
}

/** What the chart says in words: the line above it and, for those who do not see it, its label. */
export function describe(histogram, table) {
  const { bins, column, rows } = histogram;
  if (rows === 0)
    return { note: 'Drawn again after every commit of any tab.', label: 'Histogram, no rows yet' };
  if (bins.length === 0) return { note: `${table} has no column of numbers to draw.`, label: 'No histogram' };
  const top = bins.reduce((best, bin) => (bin.n > best.n ? bin : best));
  const { beyond } = visible(histogram);
  const far = beyond ? ` ${count(beyond)} rows lie beyond the edges.` : '';
  const most = `most rows, ${count(top.n)}, from ${count(top.from)} to ${count(top.from + histogram.step)}`;
  if (column === 'delay') {
    const late = bins.filter(({ from }) => from >= 0).reduce((sum, { n }) => sum + n, 0);
    const share = Math.round((100 * late) / rows);
    return {
      note: `${share} % on time or late, ${100 - share} % early.${far}`,
      label: `Histogram of delays in minutes over ${count(rows)} rows: ${most}; ${share} % not early.`,
    };
  }
  return { note: `${column}, ${count(rows)} rows.${far}`, label: `Histogram of ${column}: ${most}.` };
}

/** Draws the histogram into an `<svg>` at the size that its style gives it. */
export function drawHistogram(target, histogram) {
  const width = target.clientWidth || 600;
  const height = target.clientHeight || 280;
  target.setAttribute('viewBox', `0 0 ${width} ${height}`);
  if (histogram.bins.length === 0) {
    const words = svg('text', { class: 'nothing', x: width / 2, y: height / 2 }, 'No rows yet');
    target.replaceChildren(...(histogram.rows ? [] : [words]));
    return;
  }
  const { column, step } = histogram;
  const { shown } = visible(histogram);
  const box = { left: 46, right: width - 6, top: 22, bottom: height - 38 };
  const low = shown[0].from;
  const high = shown.at(-1).from + step;
  const most = Math.max(...shown.map(({ n }) => n));
  const x = (value) => box.left + ((value - low) / (high - low)) * (box.right - box.left);
  const y = (n) => box.bottom - (n / most) * (box.bottom - box.top);
  const bar = x(low + step) - x(low);
  const gap = Math.min(2, bar / 5);

  const parts = [];
  for (const n of ticks(0, most, 4)) {
    parts.push(svg('line', { class: n ? 'grid' : 'axis', x1: box.left, x2: box.right, y1: y(n), y2: y(n) }));
    parts.push(svg('text', { class: 'tick y', x: box.left - 8, y: y(n) }, short(n)));
  }
  for (const { from, n } of shown) {
    const kind = column === 'delay' && from < 0 ? 'bar early' : 'bar';
    const size = { x: x(from) + gap / 2, y: y(n), width: bar - gap, height: box.bottom - y(n) };
    const title = svg('title', {}, `${count(from)} to ${count(from + step)}: ${count(n)} rows`);
    parts.push(svg('rect', { class: kind, ...size }, title));
  }
  for (const value of ticks(low, high, Math.max(2, Math.floor(width / 80)))) {
    parts.push(svg('text', { class: 'tick x', x: x(value), y: box.bottom + 16 }, short(value)));
  }
  const xName = column === 'delay' ? 'delay in minutes' : column;
  parts.push(svg('text', { class: 'name', x: (box.left + box.right) / 2, y: height - 4 }, xName));
  parts.push(svg('text', { class: 'name start', x: 0, y: 11 }, 'rows'));
  target.replaceChildren(...parts);
}

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** 40K for 40,000; a minus sign of its own width. */
const short = (n) => compact.format(n).replace('-', '−');
