// The demo with the network off. Online, everything comes from the network, so that nobody sees an old page; the files
// of this version are kept for when there is none. A new version brings a whole new cache, and the old one goes.
importScripts('/offline-files.js');

const { version, files } = globalThis.offline;
const PREFIX = 'framelock-demo-';
const CACHE = PREFIX + version;

addEventListener('install', (event) => {
  // All of them or none: a version that is not whole is never used.
  const fresh = files.map((path) => new Request(path, { cache: 'reload' }));
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(fresh))
      .then(() => skipWaiting()),
  );
});

addEventListener('activate', (event) => {
  const tidy = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(tidy());
});

/** What was kept of an address, or the network's own failure. */
async function kept(request, failure) {
  const cache = await caches.open(CACHE);
  const found = await cache.match(request, { ignoreSearch: request.mode === 'navigate' });
  if (found) return found;
  throw failure;
}

addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== 'GET' || origin !== location.origin || !files.includes(pathname)) return;
  event.respondWith(fetch(request).catch((failure) => kept(request, failure)));
});
