// What became of this tab's frames: a list of outcomes, its summary by path and its drawing as two tables.
import { waitedMs } from './append.js';
import { count, element, milliseconds } from './text.js';

/** The ladder's rungs, in its order; the others are shown when they occur. */
const LADDER = ['direct', 'handoff', 'queued'];
/** How many of the latest outcomes the page lists. */
const LISTED = 100;

/**
 * One outcome: a receipt, or an error in `code`. `committedMs` is when a queued frame was applied, from the receipt.
 *
 * @typedef {{ path: string, code?: string, rows: number, attempts: object[], waitedMs: number, elapsedMs?: number,
 *   committed: boolean, committedMs?: number, message?: string }} Outcome
 */

/** The outcome that a receipt tells. @returns {Outcome} */
export function outcomeOf({ path, rows, attempts, elapsedMs, committed, frameId }) {
  return { path, rows, attempts, waitedMs: waitedMs(attempts), elapsedMs, committed, frameId };
}

/** The outcome that an error tells. @returns {Outcome} */
export function outcomeOfError({ code = 'ERROR', message, attempts = [] }) {
  return { path: code, code, rows: 0, attempts, waitedMs: waitedMs(attempts), committed: false, message };
}

/** The p-th percentile of sorted numbers, nearest rank: always one of them. */
export function percentile(sorted, p) {
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)];
}

/** A line for each path: frames, rows, attempts and percentiles of the wait in milliseconds. */
export function summarize(outcomes) {
  const paths = new Set([...LADDER, ...outcomes.map(({ path }) => path)]);
  return [...paths].map((path) => {
    const those = outcomes.filter((outcome) => outcome.path === path);
    const waits = those
      .filter(({ attempts }) => attempts.length)
      .map((outcome) => outcome.waitedMs)
      .sort((a, b) => a - b);
    return {
      path,
      code: those[0]?.code,
      frames: those.length,
      rows: those.reduce((sum, { rows }) => sum + rows, 0),
      attempts: those.reduce((sum, { attempts }) => sum + attempts.length, 0),
      p50: percentile(waits, 50),
      p99: percentile(waits, 99),
    };
  });
}

/** A path or an error's code, which may break after an underscore. */
function badge(path, code) {
  const words = path.split('_').flatMap((word, i) => (i ? ['_', element('wbr'), word] : [word]));
  return element('span', { class: `badge ${code ? 'error' : path}` }, ...words);
}

/** "busy 201 ms · committed 0.4 ms"; attempts of the lower rungs say their path. */
function attemptsText({ attempts, message }) {
  if (attempts.length === 0) return message ?? '–';
  const text = ({ path, outcome, waitedMs: ms }) =>
    `${path === 'direct' ? '' : `${path} `}${outcome} ${milliseconds(ms)}`;
  return attempts.map(text).join(' · ');
}

function outcomeCell(outcome) {
  const parts = [badge(outcome.path, outcome.code)];
  if (outcome.committedMs !== undefined) {
    parts.push(element('small', {}, ` applied ${milliseconds(outcome.committedMs)} later`));
  } else if (!outcome.code && !outcome.committed) parts.push(element('small', {}, ' not applied yet'));
  else if (outcome.code) {
    // Only the database knows what a worker had done when it failed.
    const what = outcome.code === 'WORKER_FAILED' ? ' in doubt' : ' nothing written';
    parts.push(element('small', {}, what));
  }
  return element('td', {}, ...parts);
}

/** Draws the summary. */
export function drawSummary(body, outcomes) {
  const lines = summarize(outcomes).map(({ path, code, frames, rows, attempts, p50, p99 }) =>
    element(
      'tr',
      { class: frames ? '' : 'none', 'data-path': path },
      element('th', { scope: 'row' }, badge(path, code)),
      element('td', {}, count(frames)),
      element('td', {}, count(rows)),
      element('td', {}, count(attempts)),
      element('td', {}, milliseconds(p50)),
      element('td', {}, milliseconds(p99)),
    ),
  );
  body.replaceChildren(...lines);
}

/** Draws the latest outcomes, newest first. */
export function drawLog(body, outcomes) {
  const first = Math.max(0, outcomes.length - LISTED);
  const lines = outcomes
    .slice(first)
    .map((outcome, i) =>
      element(
        'tr',
        {},
        element('td', {}, count(first + i + 1)),
        outcomeCell(outcome),
        element('td', {}, outcome.code ? '–' : count(outcome.rows)),
        element('td', {}, attemptsText(outcome)),
        element('td', {}, milliseconds(outcome.elapsedMs)),
      ),
    );
  body.replaceChildren(...lines.reverse());
}
