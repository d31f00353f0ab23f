// Walks a table's chunks and reserves copies of exactly the bytes that its rows use: of a sliced
// table only the slice is moved. Whether the bytes are sound is checked in Rust (src/frame/raw.rs),
// which also documents the descriptor.

import { Arena, type Region } from '../frames/arena.js';
import { bytesOfView, typedArrayName } from '../frames/views.js';
import type { Chunk, ChunkReader, TableParts } from './chunk.js';
import { byteWidth, readField, readMetadata, readShallow, unreadable, type TypeDescriptor } from './types.js';

/** A chunk in the descriptor; absent properties are empty. */
interface Node {
  /** Rows. */
  n: number;
  /** Bits to skip in the bitmaps; for run-end encoding, rows to skip. */
  o?: number;
  /** The validity bitmap. */
  v?: Region;
  /** The other buffers, in the order of the Arrow format. */
  b?: Region[];
  /** Children. */
  c?: Node[];
  /** Index of the dictionary. */
  d?: number;
}

/** A table object, ready to be transferred. */
export interface RawTable {
  form: 'raw';
  descriptor: string;
  buffers: Uint8Array[];
}

/** Copies a table. The caller turns what a strange object throws into an INVALID_FRAME. */
export function copyTable(table: TableParts): RawTable {
  const fields = table.fields.map((field) => readField(field));
  const arena = new Arena();
  const copier = new Copier(arena, table.read);
  const columns = fields.map(({ name, type }, i) => copier.column(name, type, table.columns[i]!));
  const metadata = readMetadata(table.metadata);
  const { batches } = table;
  const { dictionaries } = copier;
  return {
    form: 'raw',
    descriptor: JSON.stringify({ fields, metadata, batches, columns, dictionaries }),
    buffers: [arena.finish()],
  };
}

class Copier {
  readonly dictionaries: { type: TypeDescriptor; chunks: Node[] }[] = [];
  /** Dictionaries and their chunks by identity: batches share them, deltas share chunks. */
  readonly #seen = new Map<unknown, number>();
  readonly #dictionaryChunks = new Map<unknown, Node>();
  #column = '';

  constructor(
    readonly arena: Arena,
    readonly read: ChunkReader,
  ) {}

  /** The nodes of one column's chunks. */
  column(name: string, type: TypeDescriptor, chunks: unknown[]): Node[] {
    this.#column = name;
    try {
      return chunks.map((chunk) => this.#whole(type, chunk));
    } catch (cause) {
      throw cause instanceof Error && 'code' in cause ? cause : unreadable(name, String(cause), cause);
    }
  }

  #whole(type: TypeDescriptor, source: unknown): Node {
    const chunk = this.#chunk(type, source);
    return this.#node(type, chunk, 0, chunk.length);
  }

  #chunk(type: TypeDescriptor, source: unknown): Chunk {
    if (typeof source !== 'object' || source === null) throw this.#unreadable('a chunk is missing');
    const chunk = this.read(source);
    if (!isCount(chunk.length) || !isCount(chunk.bit)) throw this.#unreadable('a chunk has no length');
    const own = readShallow(chunk.type, this.#column);
    if (PARAMETERS.some((key) => own[key] !== type[key])) {
      throw this.#unreadable(`a chunk is of type ${own.kind}, the schema says ${type.kind}`);
    }
    return chunk;
  }

  /** Rows `start` to `start + n` of a chunk. */
  #node(type: TypeDescriptor, chunk: Chunk, start: number, n: number): Node {
    if (start + n > chunk.length) throw this.#unreadable('a child is shorter than its parent needs');
    const node: Node = { n };
    if (type.kind === 'null') return node;
    const skip = chunk.bit + start;
    if (chunk.nulls !== undefined && type.kind !== 'runEndEncoded') {
      node.v = this.#bits(chunk.nulls, skip, n);
      node.o = skip & 7;
    }
    const width = byteWidth(type);
    if (width !== undefined) {
      node.b = [this.#slice(chunk.values, start * width, (start + n) * width)];
      if (type.kind === 'dictionary') node.d = this.#dictionary(type.values!, chunk);
      return node;
    }
    switch (type.kind) {
      case 'bool':
        node.o = skip & 7;
        node.b = [this.#bits(chunk.values, skip, n)];
        return node;
      case 'utf8':
      case 'binary':
      case 'largeUtf8':
      case 'largeBinary': {
        const { region, first, last } = this.#offsets(type, chunk, start, n);
        node.b = [region, this.#slice(chunk.values, first, last)];
        return node;
      }
      case 'list':
      case 'largeList':
      case 'map': {
        const { region, first, last } = this.#offsets(type, chunk, start, n);
        node.b = [region];
        node.c = [this.#child(type, chunk, 0, first, last - first)];
        return node;
      }
      case 'utf8View':
      case 'binaryView': {
        const data = Array.isArray(chunk.data) ? chunk.data : [];
        node.b = [this.#slice(chunk.values, start * 16, (start + n) * 16)];
        for (const buffer of data) node.b.push(this.#slice(buffer, 0, Infinity));
        return node;
      }
      case 'listView':
      case 'largeListView': {
        const width = type.kind === 'listView' ? 4 : 8;
        node.b = [chunk.offsets, chunk.sizes].map((b) => this.#slice(b, start * width, (start + n) * width));
        node.c = [this.#child(type, chunk, 0)];
        return node;
      }
      case 'fixedSizeList': {
        const size = type.size ?? 0;
        node.c = [this.#child(type, chunk, 0, start * size, n * size)];
        return node;
      }
      case 'struct':
        node.c = (type.children ?? []).map((_, i) => this.#child(type, chunk, i, start, n));
        return node;
      case 'runEndEncoded':
        node.o = start;
        node.c = [this.#child(type, chunk, 0), this.#child(type, chunk, 1)];
        return node;
      default:
        throw this.#unreadable(`no layout is known for ${type.kind}`);
    }
  }

  #child(type: TypeDescriptor, parent: Chunk, i: number, start = 0, n?: number): Node {
    const field = type.children?.[i];
    const sources = parent.children;
    // apache-arrow makes no children for a parent without rows, such as an empty slice.
    if (field && (n ?? parent.length) === 0 && !(Array.isArray(sources) && i in sources)) {
      return this.#node(field.type, NO_ROWS, 0, 0);
    }
    if (!field || !Array.isArray(sources)) throw this.#unreadable(`a ${type.kind} has no children`);
    const chunk = this.#chunk(field.type, sources[i]);
    return this.#node(field.type, chunk, start, n ?? chunk.length);
  }

  #dictionary(type: TypeDescriptor, chunk: Chunk): number {
    const source = chunk.dictionary;
    const chunks = Array.isArray(source?.chunks) ? source.chunks : [];
    // The list of chunks identifies the dictionary: it outlives the objects that hold it.
    const key = source?.chunks ?? type;
    const seen = this.#seen.get(key);
    if (seen !== undefined) return seen;
    const nodes = chunks.map((part) => {
      const node = this.#dictionaryChunks.get(part) ?? this.#whole(type, part);
      this.#dictionaryChunks.set(part, node);
      return node;
    });
    const index = this.dictionaries.push({ type, chunks: nodes }) - 1;
    this.#seen.set(key, index);
    return index;
  }

  /** The offsets of `n` rows from `start`, and the first and the last of them. */
  #offsets(type: TypeDescriptor, chunk: Chunk, start: number, n: number) {
    const large = type.kind.startsWith('large');
    const offsets = chunk.offsets as (Int32Array | BigInt64Array) | undefined | null;
    if (offsets === undefined || offsets === null)
      return { region: this.arena.add(EMPTY), first: 0, last: 0 };
    if (typedArrayName(offsets) !== (large ? 'BigInt64Array' : 'Int32Array')) {
      throw this.#unreadable('its offsets are of the wrong width');
    }
    const width = large ? 8 : 4;
    const region = this.#slice(offsets, start * width, (start + n + 1) * width);
    // Fewer offsets than rows: the rows beyond are null, Rust checks that.
    const count = region[2] / width;
    const first = count > 0 ? Number(offsets[start]) : 0;
    const last = count > 0 ? Number(offsets[start + count - 1]) : 0;
    if (!isCount(first) || !isCount(last - first)) throw this.#unreadable('its offsets run backwards');
    return { region, first, last };
  }

  #bits(bitmap: unknown, from: number, n: number): Region {
    return this.#slice(bitmap, from >> 3, Math.ceil((from + n) / 8));
  }

  /** Bytes `from` to `to` of a typed array, as far as it has them. */
  #slice(buffer: unknown, from: number, to: number): Region {
    if (buffer === undefined || buffer === null) return this.arena.add(EMPTY);
    if (typedArrayName(buffer) === undefined) throw this.#unreadable('a buffer is not a typed array');
    return this.arena.add(bytesOfView(buffer).subarray(from, to));
  }

  #unreadable(why: string) {
    return unreadable(this.#column, why);
  }
}

const EMPTY = new Uint8Array(0);
const NO_ROWS = { length: 0, bit: 0 } as Chunk;
const PARAMETERS = ['kind', 'bits', 'signed', 'precision', 'scale', 'unit', 'timezone', 'size'] as const;

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
