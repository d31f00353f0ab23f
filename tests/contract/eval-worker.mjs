// A worker for fidelity.test.mjs: plain calls of the file system, as the page asks for them.
const open = {};
const root = () => navigator.storage.getDirectory();

const CALLS = {
  async open(name) {
    const file = await (await root()).getFileHandle(name, { create: true });
    open[name] = await file.createSyncAccessHandle();
    return 'open';
  },
  async openWithin(name, ms) {
    for (const end = performance.now() + ms; ;) {
      const outcome = await call('open', [name]);
      if (outcome === 'open' || performance.now() > end) return outcome;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  },
  close: (name) => open[name].close(),
  write: (name, length, at) => open[name].write(new Uint8Array(length).fill(1), { at }),
  read(name, length) {
    const bytes = new Uint8Array(length);
    open[name].read(bytes, { at: 0 });
    return [...bytes];
  },
  async move(from, to) {
    const folder = await root();
    await (await folder.getFileHandle(from)).move(to);
    const { size } = await (await folder.getFileHandle(to)).getFile();
    const old = await folder.getFileHandle(from).then(
      () => 'there',
      (error) => error.name,
    );
    return { size, old };
  },
};

/** The value of a call, or the name of what it threw. */
async function call(name, args) {
  try {
    return await CALLS[name](...args);
  } catch (error) {
    return error.name;
  }
}

onmessage = async ({ data: { id, name, args } }) => postMessage({ id, value: await call(name, args) });
