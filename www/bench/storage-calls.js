// Counts what goes through OPFS access handles in this thread: calls, bytes and milliseconds. For looking, not for
// timing: a counted run is slower.
export function countCalls() {
  let seen = {};
  const prototype = globalThis.FileSystemSyncAccessHandle?.prototype;
  for (const name of ['read', 'write', 'flush', 'truncate', 'getSize', 'close']) {
    const call = prototype?.[name];
    if (!call) continue;
    prototype[name] = function (...args) {
      const start = performance.now();
      const value = call.apply(this, args);
      const entry = (seen[name] ??= { calls: 0, bytes: 0, ms: 0 });
      entry.calls++;
      entry.ms += performance.now() - start;
      if (name === 'read' || name === 'write') entry.bytes += value;
      return value;
    };
  }
  return {
    take() {
      const taken = seen;
      seen = {};
      return taken;
    },
  };
}
