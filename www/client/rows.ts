// Decodes the packed columns of a query into row objects or into one array for each column. Pure: no worker, no page.
//
// A packed column has a tag for each row (or one for all) and a pool for each kind of value. A pool holds only the
// rows of its kind, in row order, so each pool is read with a cursor of its own.
import type { ArrayName, PackedColumn } from './messages.js';
import type { Column } from './types.js';

/** What a row's value is, and so which pool it comes from. */
export const Tag = {
  null: 0,
  number: 1,
  bigint: 2,
  text: 3,
  blob: 4,
  false: 5,
  true: 6,
  /** Milliseconds, from the pool of numbers. */
  date: 7,
} as const;

/** `ignoreBOM`: a text that starts with U+FEFF keeps it. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** A function that gives the values of a column, one row after the other. */
function reader(column: PackedColumn): (row: number) => unknown {
  const { tag, tags, numbers, bigints, textEnds, blobs, blobEnds } = column;
  const text = column.text ? decoder.decode(column.text) : '';
  let number = 0;
  let bigint = 0;
  let string = 0;
  let stringStart = 0;
  let blob = 0;
  let blobStart = 0;
  return (row) => {
    switch (tag ?? tags![row]) {
      case Tag.null:
        return null;
      case Tag.number:
        return numbers![number++];
      case Tag.bigint:
        return bigints![bigint++];
      case Tag.text: {
        const end = textEnds![string++]!;
        const value = text.substring(stringStart, end);
        stringStart = end;
        return value;
      }
      case Tag.blob: {
        const end = blobEnds![blob++]!;
        const value = blobs!.slice(blobStart, end);
        blobStart = end;
        return value;
      }
      case Tag.false:
        return false;
      case Tag.true:
        return true;
      case Tag.date:
        return new Date(numbers![number++]!);
      default:
        throw new Error(`unknown tag ${tag ?? tags![row]} in row ${row} of column ${column.name}`);
    }
  };
}

/** Writes one column into the rows. A function of its own, so that the name is a constant of its loop. */
function fill(rows: Record<string, unknown>[], name: string, value: (row: number) => unknown): void {
  for (let row = 0; row < rows.length; row++) rows[row]![name] = value(row);
}

/**
 * Row objects. Each is a copy of one template, so that all have the same shape, and every name is an own property
 * before it is assigned: a column named `__proto__` is then as harmless as any other. Of two columns with one name
 * the last wins.
 */
export function decodeRows(rowCount: number, columns: readonly PackedColumn[]): Record<string, unknown>[] {
  const template: Record<string, unknown> = {};
  for (const { name } of columns) {
    Object.defineProperty(template, name, {
      value: null,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  const rows = new Array<Record<string, unknown>>(rowCount);
  for (let row = 0; row < rowCount; row++) rows[row] = { ...template };
  for (const column of columns) fill(rows, column.name, reader(column));
  return rows;
}

const ARRAYS = {
  Int8Array,
  Int16Array,
  Int32Array,
  Uint8Array,
  Uint16Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
} satisfies Record<ArrayName, unknown>;

/**
 * A pool of numbers as the array of the column's type, or as it is: plain SQL may have put other values into the table
 * than its type has.
 */
function typedArray(array: ArrayName | undefined, pool: Float64Array | BigInt64Array): Column {
  if (pool instanceof BigInt64Array) {
    const isUnsigned = array === 'BigUint64Array' && pool.every((value) => value >= 0n);
    return isUnsigned ? new BigUint64Array(pool.buffer) : pool;
  }
  if (!array || array === 'BigInt64Array' || array === 'BigUint64Array' || array === 'Float64Array')
    return pool;
  const values = new ARRAYS[array](pool);
  return values.every((value, row) => value === pool[row]) ? values : pool;
}

/** The values of one column: a typed array where every row is a number, or a bigint, else an array. */
function decodeColumn(rowCount: number, column: PackedColumn): Column {
  const { array, tag, numbers, bigints } = column;
  if (rowCount === 0) return array ? new ARRAYS[array](0) : [];
  if (tag === Tag.number && numbers) return typedArray(array, numbers);
  if (tag === Tag.bigint && bigints) return typedArray(array, bigints);
  const value = reader(column);
  const values = new Array<unknown>(rowCount);
  for (let row = 0; row < rowCount; row++) values[row] = value(row);
  return values;
}

/** One array for each column, by name, with the same rule for names as `decodeRows`. */
export function decodeColumns(rowCount: number, columns: readonly PackedColumn[]): Record<string, Column> {
  const result: Record<string, Column> = {};
  for (const column of columns) {
    const value = decodeColumn(rowCount, column);
    Object.defineProperty(result, column.name, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return result;
}
