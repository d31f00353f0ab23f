// Registers the service worker and says when the demo works without a network. Where there is none (a private window, an
// old browser), the demo works as before, online.

/** Calls `ready` once every file is kept, now or since an earlier visit. */
export async function worksOffline(ready) {
  if (!('serviceWorker' in navigator)) return;
  try {
    await navigator.serviceWorker.register('service-worker.js');
    await navigator.serviceWorker.ready;
  } catch (error) {
    console.warn(`framelock's demo will not work offline: ${error.message}`);
    return;
  }
  ready();
}
