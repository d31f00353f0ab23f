// Looks at typed arrays and buffers through the engine's own getters: subclasses, proxies and
// objects that merely look the part cannot lie about their kind, their length or their bytes, and
// arrays of another realm (an iframe) are recognised.

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object;

function intrinsic<T>(prototype: object, key: PropertyKey): (self: unknown) => T {
  const { get } = Object.getOwnPropertyDescriptor(prototype, key)!;
  return (self) => get!.call(self) as T;
}

const nameOf = intrinsic<string | undefined>(typedArrayPrototype, Symbol.toStringTag);
const bufferOf = intrinsic<ArrayBufferLike>(typedArrayPrototype, 'buffer');
const byteOffsetOf = intrinsic<number>(typedArrayPrototype, 'byteOffset');
const byteLengthOf = intrinsic<number>(typedArrayPrototype, 'byteLength');
const arrayBufferLength = intrinsic<number>(ArrayBuffer.prototype, 'byteLength');
const keysOf = (typedArrayPrototype as Uint8Array).keys;

/** 'Float64Array' and so on; undefined for anything that is not a typed array. */
export function typedArrayName(value: unknown): string | undefined {
  return typeof value === 'object' && value !== null ? nameOf(value) : undefined;
}

/**
 * A view of the bytes of a typed array, of fixed length.
 * Throws a TypeError when its buffer was detached or shrunk away under it.
 */
export function bytesOfView(view: unknown): Uint8Array {
  keysOf.call(view as Uint8Array); // the cheapest method that checks for a usable buffer
  return new Uint8Array(bufferOf(view), byteOffsetOf(view), byteLengthOf(view));
}

/** Whether the value is an ArrayBuffer (not a SharedArrayBuffer). */
export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  if (typeof value !== 'object' || value === null) return false;
  try {
    arrayBufferLength(value);
    return true;
  } catch {
    return false;
  }
}

/**
 * The bytes of a Uint8Array or an ArrayBuffer, not copied; undefined for anything else.
 * Throws a TypeError for a detached buffer.
 */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (typedArrayName(value) === 'Uint8Array') return bytesOfView(value);
  return isArrayBuffer(value) ? new Uint8Array(value) : undefined;
}

/** Whether a string is free of lone surrogates, that is: whether it has a UTF-8 form. */
export function isWellFormed(text: string): boolean {
  const native = (text as { isWellFormed?: () => boolean }).isWellFormed;
  return native ? native.call(text) : !/\p{Surrogate}/u.test(text);
}
