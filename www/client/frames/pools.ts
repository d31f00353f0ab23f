// Growing buffers for plain values: numbers one after the other, texts and blobs end to end with
// their lengths beside them.

const FIRST_VALUES = 1024;
const FIRST_BYTES = 16 * 1024;
/** Below this many UTF-16 units a loop over ASCII beats a call of TextEncoder (measured, V8). */
const SHORT_TEXT_UNITS = 40;

type Numeric = Float64Array | BigInt64Array | BigUint64Array | Uint32Array;

/** Fixed-width values. */
export class Pool<A extends Numeric> {
  #values: A;
  count = 0;

  constructor(readonly make: new (length: number) => A) {
    this.#values = new make(FIRST_VALUES);
  }

  push(value: A[number]): void {
    if (this.count === this.#values.length) {
      const larger = new this.make(this.count * 2);
      larger.set(this.#values as never);
      this.#values = larger;
    }
    this.#values[this.count++] = value;
  }

  bytes(): Uint8Array {
    const width = this.#values.BYTES_PER_ELEMENT;
    return new Uint8Array(this.#values.buffer, 0, this.count * width);
  }
}

const encoder = new TextEncoder();

/** Values of any length. */
export class BytePool {
  #bytes = new Uint8Array(FIRST_BYTES);
  #used = 0;
  readonly lengths = new Pool(Uint32Array);

  #reserve(more: number): void {
    const needed = this.#used + more;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = larger;
  }

  pushBytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#used);
    this.#used += bytes.length;
    this.lengths.push(bytes.length);
  }

  /** Appends the text as UTF-8; a lone surrogate becomes U+FFFD, so ask first. Returns the bytes it took. */
  pushText(text: string): number {
    const start = this.#used;
    if (text.length > SHORT_TEXT_UNITS || !this.#ascii(text)) this.#encode(text);
    const length = this.#used - start;
    this.lengths.push(length);
    return length;
  }

  /** Appends a text that is all ASCII; appends nothing and says false for another. */
  #ascii(text: string): boolean {
    const units = text.length;
    this.#reserve(units);
    const bytes = this.#bytes;
    const start = this.#used;
    for (let i = 0; i < units; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 127) return false;
      bytes[start + i] = unit;
    }
    this.#used += units;
    return true;
  }

  #encode(text: string): void {
    for (let rest = text; rest.length > 0;) {
      // No less than a character, else encodeInto would write nothing for ever.
      this.#reserve(rest.length + 4);
      const { read, written } = encoder.encodeInto(rest, this.#bytes.subarray(this.#used));
      this.#used += written;
      rest = read < rest.length ? rest.slice(read) : '';
    }
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#used);
  }
}
