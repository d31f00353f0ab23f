// The numbers as a table for the terminal and for Markdown, and as a plot.
export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

const number = (value) => {
  if (!Number.isFinite(value)) return '-';
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
};

/** Medians of every metric of one contender. */
const medians = (samples) =>
  Object.fromEntries(Object.entries(samples).map(([name, list]) => [name, median(list)]));

/**
 * One workload as a Markdown table, fastest first: medians, the range of the main metric, and how many times framelock's
 * time it takes.
 */
export function table({ title, main, unit }, results) {
  const done = Object.entries(results).filter(([, { samples }]) => samples?.[main]?.length);
  const lines = done.map(([name, { title: shown, samples, once }]) => ({
    name,
    shown,
    samples,
    once,
    m: medians(samples),
  }));
  lines.sort((a, b) => a.m[main] - b.m[main]);
  const ours = lines.find(({ name }) => name === 'framelock')?.m[main];
  const metrics = [...new Set(lines.flatMap(({ samples }) => Object.keys(samples)))];
  const header = ['contender', ...metrics, `${main}: range`, 'n', 'of framelock'];
  const sizes = lines.some(({ once }) => once);
  if (sizes) header.push('download, KiB brotli');
  const rows = lines.map(({ shown, samples, once, m }) => {
    const list = samples[main];
    const range = `${number(Math.min(...list))}-${number(Math.max(...list))}`;
    const cells = [shown, ...metrics.map((name) => number(m[name])), range, String(list.length)];
    cells.push(ours ? `${(m[main] / ours).toFixed(2)}x` : '-');
    if (sizes) cells.push(once ? `${number(once.all / 1024)} (wasm ${number(once.wasm / 1024)})` : '-');
    return cells;
  });
  const all = [header, ...rows];
  const widths = header.map((_, i) => Math.max(...all.map((cells) => cells[i].length)));
  const line = (cells) =>
    `| ${cells.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2))).join('|')}|`;
  const failed = Object.values(results).filter(({ error }) => error);
  const notes = failed.map(({ title: shown, error }) => `\n${shown}: ${error}`).join('');
  return `${title} (${unit})\n\n${[line(header), rule, ...rows.map(line)].join('\n')}\n${notes}${notes ? '\n' : ''}`;
}

/** The storage calls of one turn of each contender: calls, MiB where there are bytes, milliseconds. */
export function callsTable({ title }, results) {
  const lines = Object.values(results).map(({ title: shown, samples, error }) => {
    const cells = Object.entries(samples.calls ?? {}).map(([name, { calls, bytes, ms }]) => {
      const size = bytes ? `, ${number(bytes / 2 ** 20)} MiB` : '';
      return `${name} ${calls}${size}, ${number(ms)} ms`;
    });
    return `${shown}: ${error ?? (cells.join('; ') || 'not counted')}`;
  });
  return `${title}: storage calls\n\n${lines.join('\n')}\n`;
}

const escape = (text) => text.replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]);

/** A plot of every workload's main metric: bars, framelock in its own colour. */
export function plot(workloads, results) {
  const [width, left, bar, gap] = [760, 230, 16, 4];
  const parts = [];
  let y = 8;
  for (const [id, { title, main, unit }] of workloads) {
    const lines = Object.entries(results[id] ?? {})
      .filter(([, { samples }]) => samples?.[main]?.length)
      .map(([name, { title: shown, samples }]) => ({ name, shown, value: median(samples[main]) }))
      .sort((a, b) => a.value - b.value);
    if (lines.length === 0) continue;
    parts.push(`<text x="0" y="${y + 14}" class="h">${id}: ${escape(title)} (${main}, ${unit})</text>`);
    y += 24;
    const most = lines.at(-1).value;
    for (const { name, shown, value } of lines) {
      const length = Math.max(1, (value / most) * (width - left - 70));
      const text = y + bar - 4;
      parts.push(`<text x="${left - 6}" y="${text}" class="l">${escape(shown)}</text>`);
      const kind = name === 'framelock' ? 'us' : 'them';
      parts.push(`<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${bar}" class="${kind}"/>`);
      parts.push(`<text x="${(left + length + 5).toFixed(1)}" y="${text}">${number(value)}</text>`);
      y += bar + gap;
    }
    y += 14;
  }
  const style = `text{font:12px sans-serif;fill:#333}.h{font-weight:bold}.l{text-anchor:end}.us{fill:#d9480f}.them{fill:#868e96}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}">
<style>${style}</style><rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>\n`;
}
