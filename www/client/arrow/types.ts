// Reads a data type of apache-arrow or @uwdata/flechette into words that Rust understands
// (src/frame/raw/types.rs). Both libraries number types as the Arrow format does; they differ in
// the names of a few properties. Never instanceof: several copies of a library may be loaded.

import { FramelockError } from '../errors.js';
import { isWellFormed } from '../frames/views.js';

/** A type's parameters; which of them there are depends on the kind. */
export interface TypeDescriptor {
  kind: string;
  /** Width of an integer, decimal or time, in bits. */
  bits?: number;
  signed?: boolean;
  precision?: number;
  scale?: number;
  /** The format's number of the unit. */
  unit?: number;
  timezone?: string;
  /** Bytes of a fixed-size binary, values of a fixed-size list. */
  size?: number;
  /** A map's keys, or a dictionary's values, are in order. */
  sorted?: boolean;
  children?: FieldDescriptor[];
  /** A dictionary's keys and values. */
  keys?: TypeDescriptor;
  values?: TypeDescriptor;
}

export interface FieldDescriptor {
  name: string;
  nullable: boolean;
  metadata?: [string, string][];
  type: TypeDescriptor;
}

/** What both libraries' types have, as far as they have it. */
interface LibraryType {
  typeId: number;
  bitWidth?: number;
  isSigned?: boolean;
  signed?: boolean;
  precision?: number;
  scale?: number;
  unit?: number;
  timezone?: string | null;
  byteWidth?: number;
  listSize?: number;
  stride?: number;
  keysSorted?: boolean;
  isOrdered?: boolean;
  ordered?: boolean;
  children?: unknown[];
  indices?: unknown;
  dictionary?: unknown;
}

/** The Arrow format's numbers, and −1 for a dictionary, which is not a type of its own there. */
const KINDS: ReadonlyMap<number, string> = new Map([
  [-1, 'dictionary'],
  [1, 'null'],
  [2, 'int'],
  [3, 'float'],
  [4, 'binary'],
  [5, 'utf8'],
  [6, 'bool'],
  [7, 'decimal'],
  [8, 'date'],
  [9, 'time'],
  [10, 'timestamp'],
  [11, 'interval'],
  [12, 'list'],
  [13, 'struct'],
  [15, 'fixedSizeBinary'],
  [16, 'fixedSizeList'],
  [17, 'map'],
  [18, 'duration'],
  [19, 'largeBinary'],
  [20, 'largeUtf8'],
  [21, 'largeList'],
  [22, 'runEndEncoded'],
  [23, 'binaryView'],
  [24, 'utf8View'],
  [25, 'listView'],
  [26, 'largeListView'],
]);

/** Deeper types are refused; the descriptor's JSON must not nest beyond what its reader accepts. */
const MAX_DEPTH = 32;

/** Reads a field of a schema or of a nested type. `column` is the top-level column, for errors. */
export function readField(source: unknown, column?: string, depth = 0): FieldDescriptor {
  const field = source as { name?: unknown; nullable?: unknown; metadata?: unknown; type?: unknown } | null;
  const name = field?.name;
  if (typeof name !== 'string' && typeof name !== 'number') throw unreadable(column, 'a field has no name');
  const text = wellFormed(String(name), column);
  return {
    name: text,
    nullable: field!.nullable !== false,
    metadata: readMetadata(field!.metadata, column ?? text),
    type: readType(field!.type, column ?? text, depth),
  };
}

/** Reads metadata, a Map in both libraries, as pairs; undefined when there is none. */
export function readMetadata(source: unknown, column?: string): [string, string][] | undefined {
  if (source === null || source === undefined) return undefined;
  const { entries } = source as Map<unknown, unknown>;
  if (typeof entries !== 'function') throw unreadable(column, 'its metadata is not a Map');
  const pairs: [string, string][] = [];
  for (const [key, value] of entries.call(source)) {
    pairs.push([wellFormed(String(key), column), wellFormed(String(value), column)]);
  }
  return pairs.length > 0 ? pairs : undefined;
}

function readType(source: unknown, column: string, depth: number): TypeDescriptor {
  if (depth > MAX_DEPTH) throw unreadable(column, `its type nests more than ${MAX_DEPTH} levels`);
  const own = readShallow(source, column);
  const type = source as LibraryType;
  if (own.kind === 'dictionary') {
    return {
      ...own,
      keys: readType(type.indices, column, depth + 1),
      values: readType(type.dictionary, column, depth + 1),
    };
  }
  const children = Array.isArray(type.children) ? type.children : [];
  if (children.length === 0 && own.kind !== 'struct') return own;
  return { ...own, children: children.map((child) => readField(child, column, depth + 1)) };
}

/** Reads a type without its children. */
export function readShallow(source: unknown, column: string): TypeDescriptor {
  const type = source as LibraryType | null | undefined;
  if (typeof type?.typeId !== 'number') throw unreadable(column, 'it has no Arrow type');
  const kind = KINDS.get(type.typeId);
  if (!kind) {
    const what = type.typeId === 14 ? 'union' : `number ${type.typeId}`;
    throw new FramelockError('UNSUPPORTED_TYPE', `the Arrow type ${what} is not stored`, { column });
  }
  const own: TypeDescriptor = { kind };
  switch (kind) {
    case 'int':
      own.bits = type.bitWidth;
      own.signed = type.isSigned ?? type.signed;
      break;
    case 'float':
      own.precision = type.precision;
      break;
    case 'decimal':
      own.bits = type.bitWidth ?? 128;
      own.precision = type.precision;
      own.scale = type.scale;
      break;
    case 'time':
      own.bits = type.bitWidth;
      own.unit = type.unit;
      break;
    case 'timestamp':
      own.unit = type.unit;
      if (typeof type.timezone === 'string') own.timezone = wellFormed(type.timezone, column);
      break;
    case 'date':
    case 'interval':
    case 'duration':
      own.unit = type.unit;
      break;
    case 'fixedSizeBinary':
      own.size = type.byteWidth ?? type.stride;
      break;
    case 'fixedSizeList':
      own.size = type.listSize ?? type.stride;
      break;
    case 'map':
      own.sorted = type.keysSorted === true;
      break;
    case 'dictionary':
      own.sorted = (type.isOrdered ?? type.ordered) === true;
      break;
  }
  return own;
}

/** Bytes per value of a type of fixed width; undefined for the others. */
export function byteWidth(type: TypeDescriptor): number | undefined {
  switch (type.kind) {
    case 'int':
    case 'decimal':
    case 'time':
      return (type.bits ?? 0) / 8;
    case 'float':
      return 2 << (type.precision ?? 0);
    case 'date':
      return type.unit === 0 ? 4 : 8;
    case 'timestamp':
    case 'duration':
      return 8;
    case 'interval':
      return [4, 8, 16][type.unit ?? 0];
    case 'fixedSizeBinary':
      return type.size;
    case 'dictionary':
      return (type.keys?.bits ?? 0) / 8;
    default:
      return undefined;
  }
}

/** The error for a table that cannot be read. */
export function unreadable(column: string | undefined, why: string, cause?: unknown): FramelockError {
  const details: { column?: string; cause?: unknown } = {};
  if (column !== undefined) details.column = column;
  if (cause !== undefined) details.cause = cause;
  return new FramelockError('INVALID_FRAME', `the Arrow table cannot be read: ${why}`, details);
}

function wellFormed(text: string, column: string | undefined): string {
  if (!isWellFormed(text)) throw unreadable(column, `${JSON.stringify(text)} has a lone surrogate`);
  return text;
}
