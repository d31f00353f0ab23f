// apache-arrow: a Table is `batches` of Data; a RecordBatch is one Data.
//
// Data.offset counts into bitmaps only: slicing cuts `values`, `valueOffsets` and the children of
// structs and fixed-size lists. A null count of −1 means not counted yet.

import type { Chunk, TableParts } from './chunk.js';
import { unreadable } from './types.js';

interface Data {
  type: unknown;
  length: number;
  offset: number;
  nullCount?: number;
  _nullCount?: number;
  nullBitmap?: ArrayLike<number> | null;
  values?: unknown;
  valueOffsets?: unknown;
  variadicBuffers?: unknown;
  children?: unknown;
  dictionary?: { data?: unknown };
}

interface Source {
  schema: { fields: unknown[]; metadata?: unknown };
  batches?: { data: Data }[];
  data?: Data;
}

/** Whether the object is a Table or a RecordBatch of apache-arrow. */
export function isApacheTable(source: object): boolean {
  const { batches, data } = source as Partial<Source>;
  return Array.isArray(batches) || Array.isArray(data?.children);
}

export function readApacheTable(source: object): TableParts {
  const { schema, batches, data } = source as Source;
  const structs = Array.isArray(batches) ? batches.map((batch) => batch.data) : [data!];
  for (const struct of structs) {
    if (!Array.isArray(struct?.children)) throw unreadable(undefined, 'a record batch has no columns');
    // A whole row that is null has no place in a table; IPC would drop the mark without a word.
    if (hasNulls(struct)) throw unreadable(undefined, 'a record batch has rows that are null as a whole');
  }
  return {
    fields: schema.fields,
    metadata: schema.metadata,
    batches: structs.map((struct) => struct.length),
    columns: schema.fields.map((_, i) => structs.map((struct) => (struct.children as unknown[])[i])),
    read: readData,
  };
}

function readData(source: unknown): Chunk {
  const data = source as Data;
  return {
    type: data.type,
    length: data.length,
    bit: data.offset ?? 0,
    nulls: hasNulls(data) ? data.nullBitmap : undefined,
    values: data.values,
    offsets: data.valueOffsets,
    sizes: undefined,
    data: data.variadicBuffers,
    children: data.children,
    dictionary: data.dictionary && { chunks: data.dictionary.data },
  };
}

function hasNulls(data: Data): boolean {
  return (data.nullBitmap?.length ?? 0) > 0 && (data.nullCount ?? data._nullCount ?? -1) !== 0;
}
