// Gathers views first and copies them once, all into one buffer that is ours: one allocation and
// one transfer to the worker, however many columns there are.

/** Where bytes are: [index of the frame's buffer, byte offset, byte length]. */
export type Region = [buffer: number, offset: number, length: number];

/** Wide enough for the widest Arrow value that is read in place (decimal128, views). */
const ALIGNMENT = 16;

/** The first of a frame's buffers. */
export class Arena {
  readonly #sources: { bytes: Uint8Array; at: number }[] = [];
  #size = 0;

  /** Reserves room for the bytes; they are copied by {@link finish}. */
  add(bytes: Uint8Array): Region {
    const at = this.#size;
    if (bytes.length > 0) this.#sources.push({ bytes, at });
    this.#size = Math.ceil((at + bytes.length) / ALIGNMENT) * ALIGNMENT;
    return [0, at, bytes.length];
  }

  /** Copies everything. Throws a TypeError when a source was detached since it was added. */
  finish(): Uint8Array {
    const out = new Uint8Array(this.#size);
    for (const { bytes, at } of this.#sources) out.set(bytes, at);
    return out;
  }
}
