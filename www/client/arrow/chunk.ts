// One chunk of a column, under one set of names for every library. The adapters beside this file
// make them; copy.ts reads them.
//
// The first element of `values`, `offsets`, `sizes` and of struct and fixed-size-list children is
// row 0 of the chunk; only bitmaps (`nulls`, and `values` of bool) start `bit` bits in.

export interface Chunk {
  /** The library's type object. */
  type: unknown;
  length: number;
  bit: number;
  /** The validity bitmap; undefined when no row is null. */
  nulls: unknown;
  values: unknown;
  offsets: unknown;
  sizes: unknown;
  /** The data buffers of a view type. */
  data: unknown;
  children: unknown;
  /** The dictionary: an object that identifies it, and its chunks. */
  dictionary: { chunks?: unknown } | undefined;
}

/** Reads one library's chunk object. */
export type ChunkReader = (source: unknown) => Chunk;

/** A table object taken apart: what the adapters give to copy.ts. */
export interface TableParts {
  fields: readonly unknown[];
  metadata: unknown;
  /** Rows of each record batch, where the library has record batches. */
  batches: number[] | undefined;
  /** Per column its chunks, as the library has them. */
  columns: unknown[][];
  read: ChunkReader;
}
