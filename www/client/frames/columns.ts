// `{ name: TypedArray | Array }` and `[{ name: value }]`, packed for src/frame/packed.rs.
//
// Only own, enumerable, string-named properties count, in the order Object.keys gives; a name such
// as __proto__ is a name like any other. A missing key, a hole and undefined are null.

import { FramelockError, type ErrorDetails } from '../errors.js';
import { Arena, type Region } from './arena.js';
import { Cells, type CellsDescriptor } from './cells.js';
import { bytesOfView, isWellFormed, typedArrayName } from './views.js';

/** A frame of plain values, ready to be transferred. */
export interface PackedValues {
  form: 'packed';
  descriptor: string;
  buffers: Uint8Array[];
}

interface TypedDescriptor {
  name: string;
  kind: string;
  values: Region;
}

const KINDS: ReadonlyMap<string, { kind: string; width: number }> = new Map([
  ['Int8Array', { kind: 'int8', width: 1 }],
  ['Int16Array', { kind: 'int16', width: 2 }],
  ['Int32Array', { kind: 'int32', width: 4 }],
  ['BigInt64Array', { kind: 'int64', width: 8 }],
  ['Uint8Array', { kind: 'uint8', width: 1 }],
  ['Uint8ClampedArray', { kind: 'uint8', width: 1 }],
  ['Uint16Array', { kind: 'uint16', width: 2 }],
  ['Uint32Array', { kind: 'uint32', width: 4 }],
  ['BigUint64Array', { kind: 'uint64', width: 8 }],
  ['Float16Array', { kind: 'float16', width: 2 }],
  ['Float32Array', { kind: 'float32', width: 4 }],
  ['Float64Array', { kind: 'float64', width: 8 }],
]);

/** Packs columns. The caller turns what getters and proxies throw into an INVALID_ARGUMENT. */
export function packColumns(columns: object, replaces: boolean): PackedValues {
  const arena = new Arena();
  // The arena's comes first, once it is known what is in it.
  const buffers: Uint8Array[] = [new Uint8Array(0)];
  const described: (TypedDescriptor | CellsDescriptor)[] = [];
  let rows: number | undefined;
  for (const name of Object.keys(columns)) {
    checkName(name);
    const column = at(name, () => (columns as Record<string, unknown>)[name]);
    const kind = KINDS.get(typedArrayName(column) ?? '');
    let length: number;
    if (kind) {
      const bytes = at(name, () => bytesOfView(column));
      length = bytes.length / kind.width;
      described.push({ name, kind: kind.kind, values: arena.add(bytes) });
    } else if (Array.isArray(column)) {
      length = at(name, () => column.length);
      if (length !== (rows ?? length)) throw unequal(name, length, rows!);
      described.push(packArray(name, column, length, replaces).finish(buffers));
    } else {
      throw new FramelockError(
        'INVALID_ARGUMENT',
        'neither an array nor a typed array; one row of plain values is [row]',
        { column: name },
      );
    }
    rows ??= length;
    if (length !== rows) throw unequal(name, length, rows);
  }
  buffers[0] = arena.finish();
  return packed(described, buffers, rows ?? 0);
}

/** Packs rows: the columns are all the keys there are, in the order of their first appearance. */
export function packRows(rows: readonly unknown[], replaces: boolean): PackedValues {
  const count = rows.length;
  const columns: Cells[] = [];
  const byName = new Map<string, Cells>();
  let row = 0;
  let key: string | undefined;
  try {
    for (; row < count; row++) {
      key = undefined;
      const record = rows[row];
      const keys = keysOfRow(record, row);
      for (let i = 0; i < keys.length; i++) {
        key = keys[i]!;
        const value = (record as Record<string, unknown>)[key];
        // Rows are mostly alike: the column is where it was in the row before.
        let column = columns[i];
        if (column?.name !== key) {
          column = byName.get(key);
          if (!column) {
            checkName(key);
            column = new Cells(key, count, replaces);
            byName.set(key, column);
            columns.push(column);
          }
        }
        column.set(row, value);
      }
    }
  } catch (cause) {
    throw refused(cause, key, row);
  }
  const buffers: Uint8Array[] = [];
  const described = columns.map((column) => column.finish(buffers));
  return packed(described, buffers, count);
}

function packed(
  columns: (TypedDescriptor | CellsDescriptor)[],
  buffers: Uint8Array[],
  rows: number,
): PackedValues {
  return { form: 'packed', descriptor: JSON.stringify({ rows, columns }), buffers };
}

function packArray(name: string, values: readonly unknown[], length: number, replaces: boolean): Cells {
  const cells = new Cells(name, length, replaces);
  const holes = hasPollutedIndices();
  let row = 0;
  try {
    for (; row < length; row++) {
      if (holes && !Object.hasOwn(values, row)) continue;
      cells.set(row, values[row]);
    }
  } catch (cause) {
    throw refused(cause, name, row);
  }
  return cells;
}

/** Whether a hole in an array would show a value of Array.prototype or Object.prototype. */
function hasPollutedIndices(): boolean {
  return Object.keys(Array.prototype).length > 0 || Object.keys(Object.prototype).length > 0;
}

function keysOfRow(record: unknown, row: number): string[] {
  if (
    typeof record === 'object' &&
    record !== null &&
    !Array.isArray(record) &&
    !ArrayBuffer.isView(record)
  ) {
    const keys = Object.keys(record);
    // Something without keys of its own that is no plain object either (a Map, a Date) is a mistake.
    if (keys.length > 0 || isPlain(record)) return keys;
  }
  throw new FramelockError('INVALID_ARGUMENT', 'the row is not a plain object', { row });
}

/** Whether the object is one of `{}`, in any realm, or has no prototype. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function at<T>(column: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw refused(cause, column);
  }
}

/** An error that says where reading failed; ours are left as they are. */
function refused(cause: unknown, column: string | undefined, row?: number): FramelockError {
  if (cause instanceof FramelockError) return cause;
  const details: ErrorDetails & ErrorOptions = { cause };
  if (column !== undefined) details.column = column;
  if (row !== undefined) details.row = row;
  return new FramelockError('INVALID_ARGUMENT', `reading it failed: ${message(cause)}`, details);
}

/** What was thrown, in words; a thrown value may itself be hostile. */
export function message(cause: unknown): string {
  try {
    return cause instanceof Error ? String(cause.message) : String(cause);
  } catch {
    return 'something that cannot be shown was thrown';
  }
}

function unequal(name: string, length: number, rows: number): FramelockError {
  return new FramelockError('INVALID_FRAME', `it has ${length} rows, the columns before it have ${rows}`, {
    column: name,
  });
}

function checkName(name: string): void {
  if (isWellFormed(name)) return;
  throw new FramelockError('INVALID_ARGUMENT', 'the column name has a lone surrogate', { column: name });
}
