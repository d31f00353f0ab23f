// Where rows come from and how they are cut: the flights data set or an Arrow file of the visitor's, as frames that
// appendFrame takes. It never touches a value: apache-arrow's slices are views of the file's own buffers.

const FLIGHTS_URL = '/vega-datasets/flights-200k.arrow';

/**
 * Rows that can be cut into frames. `table` is missing when apache-arrow cannot read the bytes (compressed
 * bodies, newer types): they are then one frame as they are, and the engine has the last word.
 *
 * @typedef {{ name: string, bytes: Uint8Array, table?: object, rows?: number }} Source
 */

/** @returns {Source} */
export function sourceOf(name, bytes) {
  try {
    const table = Arrow.tableFromIPC(bytes);
    return { name, bytes, table, rows: table.numRows };
  } catch {
    return { name, bytes };
  }
}

let flights;

/** The flights data set, fetched once. */
export function flightsSource() {
  flights ??= (async () => {
    const response = await fetch(FLIGHTS_URL);
    if (!response.ok) throw new Error(`${FLIGHTS_URL}: status ${response.status}`);
    return sourceOf('flights-200k.arrow', new Uint8Array(await response.arrayBuffer()));
  })();
  // A failed fetch is tried again by the next click.
  flights.catch(() => (flights = undefined));
  return flights;
}

/** A chosen or dropped file. */
export async function fileSource(file) {
  return sourceOf(file.name, new Uint8Array(await file.arrayBuffer()));
}

/** The table name that a file name suggests. */
export const tableName = (fileName) => fileName.replace(/\.[^.]*$/, '') || 'rows';

/**
 * The frames of one part of a source, `part.index` of `part.of` equal ones: each has its number of rows and
 * what to give to appendFrame.
 */
export function framesOf(source, frameRows, part = { index: 0, of: 1 }) {
  if (!source.table) return part.index === 0 ? [{ rows: undefined, data: source.bytes }] : [];
  const start = Math.floor((source.rows * part.index) / part.of);
  const end = Math.floor((source.rows * (part.index + 1)) / part.of);
  const frames = [];
  for (let from = start; from < end; from += frameRows) {
    const to = Math.min(end, from + frameRows);
    frames.push({ rows: to - from, data: source.table.slice(from, to) });
  }
  return frames;
}
