// Events come faster than anybody can look: this turns any number of calls into few runs of a task.

/**
 * A function that may be called at any time: the task runs at once when it rests, once more afterwards when it was asked
 * for meanwhile, and rests between two runs for `restMs(how long the run took)`.
 */
export function coalesce(task, restMs) {
  let running = false;
  let asked = false;
  return async function ask() {
    asked = true;
    if (running) return;
    running = true;
    while (asked) {
      asked = false;
      const start = performance.now();
      await task();
      await new Promise((resolve) => setTimeout(resolve, restMs(performance.now() - start)));
    }
    running = false;
  };
}
