// Takes what a caller gave to appendFrame and makes of it buffers that are ours: fresh copies,
// which the caller can no longer change and which are transferred to the worker. What the bytes
// mean is decided there, in Rust; this side only tells the four kinds of input apart:
//
//   Uint8Array, ArrayBuffer                       Arrow IPC bytes                 'ipc'
//   an object with schema.fields and its columns  a table of an Arrow library     'raw'
//   an array                                      rows of plain objects           'packed'
//   any other plain object                        columns                         'packed'

import { copyTable, type RawTable } from './arrow/copy.js';
import { isApacheTable, readApacheTable } from './arrow/apache.js';
import { isFlechetteTable, readFlechetteTable } from './arrow/flechette.js';
import { unreadable } from './arrow/types.js';
import { FramelockError } from './errors.js';
import { isPlain, message, packColumns, packRows, type PackedValues } from './frames/columns.js';
import { bytesOf, typedArrayName } from './frames/views.js';

/** Arrow IPC bytes, ready to be transferred. */
export interface IpcBytes {
  form: 'ipc';
  buffers: Uint8Array[];
}

/** A frame whose buffers are ours. */
export type PackedFrame = (IpcBytes | RawTable | PackedValues) & { descriptor?: string };

/**
 * Copies a frame.
 * Throws `INVALID_ARGUMENT` for what is no frame at all and for values that cannot be stored,
 * `INVALID_FRAME` for a table that cannot be read and for columns of unequal length,
 * `UNSUPPORTED_TYPE` for an Arrow type that is not stored, `LOSSY_VALUE` for text with a lone
 * surrogate, unless such are to be replaced; each with `column` and `row` where there is one.
 */
export function packFrame(input: unknown, replaces = false): PackedFrame {
  if (typeof input !== 'object' || input === null) throw notAFrame(kindOf(input));
  let table = false;
  try {
    const bytes = bytesOf(input);
    if (bytes) return { form: 'ipc', buffers: [bytes.slice()] };
    if (typedArrayName(input) !== undefined || ArrayBuffer.isView(input)) throw notAFrame('a typed array');
    if (Array.isArray(input)) return packRows(input, replaces);
    table = hasFields(input);
    if (table && isApacheTable(input)) return copyTable(readApacheTable(input));
    if (table && isFlechetteTable(input)) return copyTable(readFlechetteTable(input));
    table = false;
    if (isPromise(input)) throw notAFrame('a promise', 'await it, or ');
    if (isPlain(input)) return packColumns(input, replaces);
  } catch (cause) {
    if (cause instanceof FramelockError) throw cause;
    if (table) throw unreadable(undefined, message(cause), cause);
    throw new FramelockError('INVALID_ARGUMENT', `the frame cannot be read: ${message(cause)}`, { cause });
  }
  throw notAFrame('an object of this kind');
}

/** Whether there is a schema with fields: a column may be called "schema", but is an array then. */
function hasFields(input: object): boolean {
  const { schema } = input as { schema?: { fields?: unknown } | null };
  return typeof schema === 'object' && !Array.isArray(schema) && Array.isArray(schema?.fields);
}

/** What `await` was forgotten before is no frame yet. */
const isPromise = (input: object): boolean => typeof (input as { then?: unknown }).then === 'function';

function notAFrame(what: string, first = ''): FramelockError {
  return new FramelockError(
    'INVALID_ARGUMENT',
    `${what} is not a frame: ${first}give Arrow IPC bytes, an Arrow table, columns or an array of row objects`,
  );
}

/** What a value without properties is, in words. */
const kindOf = (value: unknown): string => (value == null ? String(value) : `a ${typeof value}`);
