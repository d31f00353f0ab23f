// Frames for the server's tests, made with apache-arrow: another implementation than the one that reads them.
import * as arrow from 'apache-arrow';

/** The IPC stream of `{ name: [type, values] }`; null where there is no value. */
export function frameOf(columns) {
  const vectors = Object.entries(columns).map(([name, [type, values]]) => [
    name,
    arrow.vectorFromArray(values, type),
  ]);
  return arrow.tableToIPC(new arrow.Table(Object.fromEntries(vectors)), 'stream');
}

/** Rows that say where they come from: `writer`, `item` (its seq) and `row`, with a text and a time beside. */
export function ticks(writer, item, rows = 100) {
  const row = Int32Array.from({ length: rows }, (_, i) => i);
  const note = Array.from(row, (i) => (i % 7 ? `writer ${writer}, item ${item}, row ${i}` : null));
  const columns = {
    writer: arrow.makeVector(row.map(() => writer)),
    item: arrow.makeVector(row.map(() => item)),
    row: arrow.makeVector(row),
    price: arrow.makeVector(Float64Array.from(row, (i) => i + item / 1000)),
    // Not left to apache-arrow, which would make a dictionary with another id each time.
    note: arrow.vectorFromArray(note, new arrow.Utf8()),
  };
  return arrow.tableToIPC(new arrow.Table(columns), 'stream');
}

export { arrow };
