// One job: frames appended one after the other. A frame that met a taken lock to the end is sent again under the same
// frameId, which framelock applies at most once; every other error ends the job.

/** Codes after which nothing was written and the same call may be made again. */
const TRY_AGAIN = new Set(['BUSY', 'TIMEOUT']);

/** The whole wait of a list of attempts, in milliseconds. */
export const waitedMs = (attempts = []) => attempts.reduce((sum, attempt) => sum + attempt.waitedMs, 0);

/**
 * Appends frames in order.
 *
 * @param job.onReceipt given each receipt
 * @param job.onError given each error that is answered by another try
 * @param job.onProgress given frames and rows so far
 * @param job.signal stops before the next frame
 */
export async function appendFrames(db, table, frames, { fallback, signal, onReceipt, onError, onProgress }) {
  let rows = 0;
  for (const [i, { data }] of frames.entries()) {
    const frameId = crypto.randomUUID();
    for (;;) {
      signal.throwIfAborted();
      try {
        const receipt = await db.appendFrame(table, data, { frameId, fallback });
        rows += receipt.rows;
        onReceipt(receipt);
        break;
      } catch (error) {
        if (!TRY_AGAIN.has(error.code)) throw error;
        onError(error);
      }
    }
    onProgress({ frames: i + 1, rows });
  }
  return rows;
}
