// What a request means for a stream. No I/O: the engines call it with what they read under their lock.
import type { StreamState } from './types.js';

export type Decision = 'apply' | 'duplicate' | 'gap' | 'forked';

/**
 * Decides about items `from`–`to`, the last of them with `digest`. `recorded` is the digest under which `to` was
 * recorded, or null when it is not in the log. `after` is the digest that the sender has for `from` − 1, or null when
 * it does not say: items that would come behind somebody else's are a gap, since their own predecessor is missing.
 */
export function decide(
  state: StreamState,
  recorded: string | null,
  { from, to, digest, after }: { from: number; to: number; digest: string; after: string | null },
): Decision {
  if (to <= state.lastSeq) {
    const known = to === state.lastSeq ? state.lastDigest : recorded;
    return known !== null && known !== digest ? 'forked' : 'duplicate';
  }
  const follows = after === null || state.lastDigest === null || after === state.lastDigest;
  return from === state.lastSeq + 1 && follows ? 'apply' : 'gap';
}
