// Timers that know that a page may sleep: a page that was frozen wakes to find its timers due before its messages
// have come. Never used for policy; only as the last guard against a worker that does not answer.

/** Later than this and the page was asleep, or throttled in the background. */
const LATE_MS = 1000;
/** What a page that was asleep gives its worker to answer. */
const GRACE_MS = 5000;
/** The longest delay that setTimeout takes; it treats a longer one as none. */
const LONGEST_MS = 2 ** 31 - 1;

/** Calls `expired` when `ms` have passed, a little later in a page that slept. Returns a function that stops it. */
export function guard(ms: number, expired: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const arm = (waitMs: number, due: () => void) => {
    timer = setTimeout(due, Math.min(waitMs, LONGEST_MS));
  };
  const dueAt = performance.now() + ms;
  arm(ms, () => {
    if (performance.now() - dueAt > LATE_MS) arm(GRACE_MS, expired);
    else expired();
  });
  return () => clearTimeout(timer);
}
