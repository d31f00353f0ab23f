// Waits for the machine to be quiet: a benchmark beside a compiler measures the compiler.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Processor time so far, used and in all; undefined where there is no /proc. */
function usage() {
  try {
    const [, ...fields] = readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).map(Number);
    const all = fields.slice(0, 8).reduce((sum, value) => sum + value);
    // The fields are user, nice, system, idle, iowait, …
    return { all, used: all - fields[3] - fields[4] };
  } catch {
    return undefined;
  }
}

/** Resolves when less than a tenth of the processors was used for a while, or when its patience is over. */
export async function quiet(patienceMs) {
  const end = performance.now() + patienceMs;
  let before = usage();
  while (before && performance.now() < end) {
    await sleep(300);
    const after = usage();
    if ((after.used - before.used) / (after.all - before.all) < 0.1) return true;
    before = after;
  }
  return false;
}
