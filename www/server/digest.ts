// Digests as RFC 9530 writes them: `sha-256=:BASE64:`. They are of the bytes before gzip.
import { Problem } from './problem.js';

const DIGEST = /^sha-256=:[A-Za-z0-9+/]{43}=:$/;

/** Whether a text is a digest in the one spelling that is compared. */
export const isDigest = (text: unknown): text is string => typeof text === 'string' && DIGEST.test(text);

/** The sha-256 of a header in which other digests may stand too; null when it has none. */
export function digestOf(header: string | null): string | null {
  const members = (header ?? '').split(',').map((member) => member.trim());
  return members.find(isDigest) ?? null;
}

/** Digests bytes. */
export async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return `sha-256=:${btoa(String.fromCharCode(...hash))}:`;
}

/** Checks a body against its `Content-Digest` and gives the digest. */
export async function checkDigest(bytes: Uint8Array<ArrayBuffer>, header: string | null): Promise<string> {
  const said = digestOf(header);
  if (said === null) throw new Problem('DIGEST_MISMATCH', { detail: 'no sha-256 in Content-Digest' });
  const found = await digest(bytes);
  if (found !== said) throw new Problem('DIGEST_MISMATCH');
  return found;
}
