// A sender for the torture runs: one stream, items in order, everything that may go wrong on the way. It keeps all its
// items, so it can always go back to where the server says it is. The real one is the browser's.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ticks } from './frames.mjs';
import { digestOf, frameRequest, read } from './wire.mjs';

/** What happens to a request, in parts of all. */
export const TROUBLE = { lostRequests: 0.1, lostAnswers: 0.15, twins: 0.2 };

/** A generator of numbers in [0, 1) with a seed. */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Sends `items` frames of `rows` rows as a writer of a number, until the server has acknowledged the last. */
export async function sendAll({
  base,
  writer,
  items,
  rows,
  table = 'ticks',
  trouble = TROUBLE,
  deadline,
  counts,
}) {
  const random = randomOf(writer + 1);
  const stream = randomUUID();
  const digests = new Map();
  const frame = (seq) => {
    const bytes = ticks(writer, seq, rows);
    digests.set(seq, digestOf(bytes));
    return bytes;
  };

  /** One request on its way; null when nobody ever hears of it again. */
  const send = async (seq) => {
    const bytes = frame(seq);
    if (random() < trouble.lostRequests) {
      counts.lostRequests += 1;
      return null;
    }
    const one = async () =>
      read(await fetch(frameRequest(stream, seq, table, bytes, { base, gzip: random() < 0.2 })));
    const twice = random() < trouble.twins;
    if (twice) counts.twins += 1;
    counts.requests += twice ? 2 : 1;
    const answers = await Promise.allSettled(twice ? [one(), one()] : [one()]);
    if (random() < trouble.lostAnswers) {
      counts.lostAnswers += 1;
      return null;
    }
    return answers.map(({ value }) => value).find(Boolean) ?? null;
  };

  let seq = 1;
  while (seq <= items) {
    if (Date.now() > deadline) throw new Error(`writer ${writer} is still at item ${seq}`);
    const answer = await send(seq);
    const status = answer?.status ?? 0;
    counts.answers[status] = (counts.answers[status] ?? 0) + 1;
    const isMine = answer && (answer.last_seq === 0 || digests.get(answer.last_seq) === answer.last_digest);
    if (status === 200 || status === 201) seq += 1;
    else if (status === 409 && answer.code === 'SEQ_GAP' && isMine) {
      if (answer.last_seq < seq - 1) counts.rewinds += 1;
      seq = answer.last_seq + 1;
    } else if (status === 0 || status === 429 || status >= 500) await sleep(2 + random() * 30);
    else throw new Error(`writer ${writer}, item ${seq}: ${JSON.stringify(answer)}`);
  }
  return stream;
}
