// Asks the browser not to evict this origin's storage: once in the life of a page, after the first write that follows
// on something that the visitor did just now. Chromium decides by itself; Firefox shows a question, and so it must be
// clear to the visitor what it is about. Never on opening, never from a hidden page, never from a worker.

let asked = false;

/** The parts of `navigator` that older browsers, workers and Node lack. */
const browser = (): Partial<Navigator> => (typeof navigator === 'undefined' ? {} : navigator);

/** Something was written. Asks if this is the moment; whatever comes of it, `persisted` tells. */
export function askToPersist(): void {
  if (asked || typeof document === 'undefined' || document.visibilityState !== 'visible') return;
  const { storage, userActivation } = browser();
  if (!userActivation?.isActive || typeof storage?.persist !== 'function') return;
  asked = true;
  // A browser that refuses to be asked has said no.
  storage.persisted().then(
    (already) => already || storage.persist().catch(() => false),
    () => false,
  );
}

/** Whether the promise holds now; `known` where the browser cannot be asked. */
export async function persisted(known: boolean): Promise<boolean> {
  const { storage } = browser();
  return typeof storage?.persisted === 'function' ? storage.persisted().catch(() => known) : known;
}
