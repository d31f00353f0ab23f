// What a request means for a stream. No I/O: the engines call it with what they read under their lock.
import type { StreamState } from './types.js';

export type Decision = 'apply' | 'duplicate' | 'gap' | 'forked';

/**
 * Decides about items `from`–`to`, the last of them with `digest`. `recorded` is the digest under which `to` was
 * recorded, or null when it is not in the log.
 */
export function decide(
  state: StreamState,
  recorded: string | null,
  { from, to, digest }: { from: number; to: number; digest: string },
): Decision {
  if (to <= state.lastSeq) {
    const known = to === state.lastSeq ? state.lastDigest : recorded;
    return known !== null && known !== digest ? 'forked' : 'duplicate';
  }
  return from === state.lastSeq + 1 ? 'apply' : 'gap';
}
