// Foreign code in a worker: what somebody who knows nothing of framelock, or a later framelock, may do to its files.
// `{ hold, lock }` opens framelock's file `hold` (under the Web Lock `lock`, when given) until any other message.
async function hold(name) {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle('framelock');
  const handle = await (await folder.getFileHandle(name)).createSyncAccessHandle();
  const released = new Promise((resolve) => (onmessage = resolve));
  postMessage('held');
  await released;
  handle.close();
  postMessage('released');
}

onmessage = async ({ data }) => {
  try {
    const work = () => hold(data.hold);
    await (data.lock === undefined ? work() : navigator.locks.request(data.lock, work));
  } catch (error) {
    postMessage(`${error.name}: ${error.message}`);
  }
};
