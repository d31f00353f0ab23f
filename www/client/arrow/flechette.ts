// @uwdata/flechette: a Table is `children` columns, each a list of Batch objects whose boundaries
// may differ from column to column. Nothing is ever offset. Extraction options (useDate,
// useBigInt…) choose the class of a batch and leave its buffers alone.

import type { Chunk, TableParts } from './chunk.js';
import { unreadable } from './types.js';

interface Batch {
  type: unknown;
  length: number;
  nullCount: number;
  validity?: ArrayLike<number> | null;
  values?: unknown;
  offsets?: unknown;
  sizes?: unknown;
  data?: unknown;
  children?: unknown;
  dictionary?: { data?: unknown };
}

interface Source {
  schema: { fields: unknown[]; metadata?: unknown; endianness?: number };
  children: { data: unknown[] }[];
}

/** Whether the object is a Table of flechette. */
export function isFlechetteTable(source: object): boolean {
  return Array.isArray((source as Partial<Source>).children);
}

export function readFlechetteTable(source: object): TableParts {
  const { schema, children } = source as Source;
  if (schema.endianness === 1) throw unreadable(undefined, 'its values are big-endian');
  return {
    fields: schema.fields,
    metadata: schema.metadata,
    batches: undefined,
    columns: schema.fields.map((field, i) => {
      const chunks = children[i]?.data;
      if (!Array.isArray(chunks)) {
        throw unreadable(String((field as { name?: unknown }).name), 'it has no batches');
      }
      return chunks;
    }),
    read: readBatch,
  };
}

function readBatch(source: unknown): Chunk {
  const batch = source as Batch;
  return {
    type: batch.type,
    length: batch.length,
    bit: 0,
    nulls: batch.nullCount > 0 && (batch.validity?.length ?? 0) > 0 ? batch.validity : undefined,
    values: batch.values,
    offsets: batch.offsets,
    sizes: batch.sizes,
    data: batch.data,
    children: batch.children,
    dictionary: batch.dictionary && { chunks: batch.dictionary.data },
  };
}
