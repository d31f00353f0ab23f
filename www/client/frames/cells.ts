// One column of plain JavaScript values: a tag per row, and a pool per kind of value. Nothing is
// converted here: which Arrow type the column gets is decided in Rust (src/frame/packed.rs), where
// the catalogue is known. What has no form at all is refused here, naming row and column.

import { FramelockError } from '../errors.js';
import type { Region } from './arena.js';
import { BytePool, Pool } from './pools.js';
import { bytesOf, isWellFormed } from './views.js';

/** The kind of a cell; the numbers are those of src/frame/packed/cells.rs. */
export const Tag = {
  null: 0,
  number: 1, // next of numbers
  bigint: 2, // next of ints
  text: 3, // next of texts
  blob: 4, // next of blobs
  false: 5,
  true: 6,
  date: 7, // next of numbers: milliseconds since the epoch
  uint: 8, // next of uints: a bigint above int64
  digits: 9, // next of texts: a bigint beyond 64 bits, in decimal
} as const;

/** The pools that a column has used, by name. */
export interface CellsDescriptor {
  name: string;
  kind: 'cells';
  tags: Region;
  numbers?: Region;
  ints?: Region;
  uints?: Region;
  texts?: Region;
  textLengths?: Region;
  blobs?: Region;
  blobLengths?: Region;
  /** How many texts had lone surrogates, which are U+FFFD now. */
  replaced?: number;
}

const timeOf = Date.prototype.getTime;

export class Cells {
  #tags: Uint8Array;
  #numbers?: Pool<Float64Array>;
  #ints?: Pool<BigInt64Array>;
  #uints?: Pool<BigUint64Array>;
  #texts?: BytePool;
  #blobs?: BytePool;
  #replaced = 0;

  /** A column of `rows` nulls. `replaces`: lone surrogates become U+FFFD, and are counted. */
  constructor(
    readonly name: string,
    rows: number,
    readonly replaces: boolean,
  ) {
    this.#tags = new Uint8Array(rows);
  }

  /** Sets a row, which must come after every row set before. Rows that are never set are null. */
  set(row: number, value: unknown): void {
    switch (typeof value) {
      case 'number':
        this.#tags[row] = Tag.number;
        (this.#numbers ??= new Pool(Float64Array)).push(value);
        return;
      case 'string':
        this.#tags[row] = Tag.text;
        // As many bytes as units: all ASCII, and so without surrogates.
        if ((this.#texts ??= new BytePool()).pushText(value) !== value.length && !isWellFormed(value)) {
          if (!this.replaces) {
            throw this.#error('LOSSY_VALUE', row, 'a string with a lone surrogate has no UTF-8 form');
          }
          this.#replaced += 1;
        }
        return;
      case 'boolean':
        this.#tags[row] = value ? Tag.true : Tag.false;
        return;
      case 'bigint':
        this.#setBigint(row, value);
        return;
      case 'undefined':
        return;
      case 'object':
        if (value !== null) this.#setObject(row, value);
        return;
      default:
        throw this.#error('INVALID_ARGUMENT', row, `a ${typeof value} is not a value that can be stored`);
    }
  }

  #setBigint(row: number, value: bigint): void {
    if (BigInt.asIntN(64, value) === value) {
      this.#tags[row] = Tag.bigint;
      (this.#ints ??= new Pool(BigInt64Array)).push(value);
    } else if (BigInt.asUintN(64, value) === value) {
      this.#tags[row] = Tag.uint;
      (this.#uints ??= new Pool(BigUint64Array)).push(value);
    } else if (BigInt.asIntN(256, value) === value) {
      this.#tags[row] = Tag.digits;
      (this.#texts ??= new BytePool()).pushText(value.toString());
    } else {
      throw this.#error('LOSSY_VALUE', row, 'a bigint of more than 256 bits fits no column');
    }
  }

  #setObject(row: number, value: object): void {
    // Asked first, because to learn that a Date is no ArrayBuffer costs an exception.
    const bytes = value instanceof Date ? undefined : bytesOf(value);
    if (bytes) {
      this.#tags[row] = Tag.blob;
      (this.#blobs ??= new BytePool()).pushBytes(bytes);
      return;
    }
    const time = timeValue(value);
    if (time === undefined) {
      throw this.#error(
        'INVALID_ARGUMENT',
        row,
        `${article(value)} is not a value that can be stored; its JSON text is`,
      );
    }
    if (Number.isNaN(time)) throw this.#error('INVALID_ARGUMENT', row, 'the date is invalid');
    this.#tags[row] = Tag.date;
    (this.#numbers ??= new Pool(Float64Array)).push(time);
  }

  /** Hands the pools over, each as a buffer of its own. */
  finish(buffers: Uint8Array[]): CellsDescriptor {
    const hand = (bytes: Uint8Array | undefined): Region | undefined =>
      bytes && [buffers.push(bytes) - 1, 0, bytes.length];
    return {
      name: this.name,
      kind: 'cells',
      tags: hand(this.#tags)!,
      numbers: hand(this.#numbers?.bytes()),
      ints: hand(this.#ints?.bytes()),
      uints: hand(this.#uints?.bytes()),
      texts: hand(this.#texts?.bytes()),
      textLengths: hand(this.#texts?.lengths.bytes()),
      blobs: hand(this.#blobs?.bytes()),
      blobLengths: hand(this.#blobs?.lengths.bytes()),
      ...(this.#replaced > 0 && { replaced: this.#replaced }),
    };
  }

  #error(code: 'INVALID_ARGUMENT' | 'LOSSY_VALUE', row: number, what: string): FramelockError {
    return new FramelockError(code, what, { column: this.name, row });
  }
}

/** Milliseconds of a Date of any realm, NaN for an invalid one; undefined for other objects. */
function timeValue(value: object): number | undefined {
  try {
    return timeOf.call(value as Date);
  } catch {
    return undefined;
  }
}

function article(value: object): string {
  if (Array.isArray(value)) return 'an array';
  return ArrayBuffer.isView(value) ? 'a typed array other than Uint8Array' : 'an object';
}
