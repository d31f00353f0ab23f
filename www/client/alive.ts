// Whether a worker lives. A worker that the browser or foreign code ended says nothing, and its calls would wait for
// ever; but the browser gives its locks back (https://w3c.github.io/web-locks/, "agent termination"). So the worker
// holds one as long as it lives, and the page asks for the same.

const locks = (): LockManager | undefined => (globalThis.navigator as Partial<Navigator> | undefined)?.locks;

/** In the worker: resolves with the name of the lock once it is held; with nothing where there are no locks. */
export function holdWhileAlive(): Promise<string | undefined> {
  const manager = locks();
  if (manager === undefined) return Promise.resolve(undefined);
  // What ends so is no lock that the handle works with (testing/hooks.ts).
  const name = `framelock-worker/${crypto.randomUUID()}/open`;
  return new Promise((resolve) => {
    const hold = () => {
      resolve(name);
      return new Promise(() => {});
    };
    // Refused: nobody watches then.
    manager.request(name, {}, hold).catch(() => resolve(undefined));
  });
}

/** In the page: calls `died` once nobody holds the lock. The signal ends the watch. */
export function watchAlive(name: string, signal: AbortSignal, died: () => void): void {
  locks()
    ?.request(name, { signal }, died)
    .catch(() => {});
}
