// Timers that know that a page may sleep: a page that was frozen wakes to find its timers due before its messages
// have come. Never used for policy; only as the last guard against a worker that does not answer.

const { timeOrigin } = performance;

/** The page's clock, as it was when this was loaded: tests put others in its place. */
export const now = performance.now.bind(performance);

/** A time of {@link now} on the clock that pages and their workers share (W3C High Resolution Time). */
export const shared = (ms: number): number => timeOrigin + ms;

/** An append that has no answer this long after its deadline has a worker that does not work. */
export const GUARD_MS = 5000;

/** Later than this and the page was asleep, or throttled in the background. */
const LATE_MS = 1000;
/** What a page that was asleep gives its worker to answer. */
const GRACE_MS = 5000;

/**
 * Calls `expired` when `ms` have passed, which are some days at most; a little later in a page that slept. Returns a
 * function that stops it.
 */
export function guard(ms: number, expired: () => void): () => void {
  const dueAt = performance.now() + ms;
  let timer = setTimeout(() => {
    if (performance.now() - dueAt > LATE_MS) timer = setTimeout(expired, GRACE_MS);
    else expired();
  }, ms);
  return () => clearTimeout(timer);
}
