// Forms of a frame that suit contenders which bind values: one array of parameters for each statement.
const ROW = '(?,?,?,?,?,?,?,?)';

/** An INSERT of so many rows. */
export const insertSql = (table, rows) => `INSERT INTO ${table} VALUES${Array(rows).fill(ROW).join(',')}`;

/** The frame as chunks of at most `rowsPerStatement` rows, each a flat array of parameters. */
export function chunks(frame, rowsPerStatement) {
  const list = [];
  for (let start = 0; start < frame.rows; start += rowsPerStatement) {
    const rows = Math.min(rowsPerStatement, frame.rows - start);
    const values = [];
    for (let i = start; i < start + rows; i++) {
      const { id, ts, price, qty, live, sym, note, uid } = frame;
      values.push(id[i], ts[i], price[i], qty[i], live[i], sym[i], note[i], uid[i]);
    }
    list.push({ rows, values });
  }
  return list;
}

/** Tries again as long as another connection has the lock, with a random pause that grows. */
export async function whileBusy(isBusy, work, deadlineMs = 60_000) {
  const end = performance.now() + deadlineMs;
  for (let pause = 2; ; pause = Math.min(pause * 1.5, 50)) {
    try {
      return await work();
    } catch (error) {
      if (!isBusy(error) || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * pause));
    }
  }
}
