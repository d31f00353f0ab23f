// Tells the engine when the page hides, freezes, leaves and comes back, so that a page that sleeps never keeps the
// lock; and when the network is back. A worker hears only of the network.
import type { LifecycleState } from './messages.js';

/** Starts listening, and says at once when the page is hidden already. Returns a function that stops. */
export function watchLifecycle(tell: (state: LifecycleState) => void): () => void {
  const ended = new AbortController();
  const { signal } = ended;
  // What waits for the network need not wait any longer.
  if (typeof addEventListener === 'function') addEventListener('online', () => tell('online'), { signal });
  if (typeof document === 'undefined') return () => ended.abort();
  const visibility = () => tell(document.visibilityState === 'hidden' ? 'hidden' : 'visible');
  document.addEventListener('visibilitychange', visibility, { signal });
  document.addEventListener('freeze', () => tell('freeze'), { signal });
  document.addEventListener('resume', () => tell('resume'), { signal });
  addEventListener('pagehide', () => tell('pagehide'), { signal });
  // Back from the back/forward cache, where the page slept.
  const back = (event: PageTransitionEvent) => {
    if (event.persisted) tell('resume');
  };
  addEventListener('pageshow', back, { signal });
  if (document.visibilityState === 'hidden') tell('hidden');
  return () => ended.abort();
}
