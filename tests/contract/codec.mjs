// Values across the test driver: JSON that also keeps bigints, dates, typed arrays, undefined, and the numbers that
// JSON loses. The same file runs in Node and, served, in the page.

const NUMBERS = { NaN: NaN, Infinity: Infinity, '-Infinity': -Infinity, '-0': -0 };

function base64Of(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000)
    text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));

function pack(value) {
  switch (typeof value) {
    case 'bigint':
      return { $: 'bigint', v: String(value) };
    case 'undefined':
      return { $: 'undefined' };
    case 'number':
      if (Number.isFinite(value) && !Object.is(value, -0)) return value;
      return { $: 'number', v: Object.is(value, -0) ? '-0' : String(value) };
    case 'object': {
      if (value === null) return null;
      if (Array.isArray(value)) return value.map(pack);
      if (value instanceof Date) return { $: 'date', v: pack(value.getTime()) };
      if (value instanceof ArrayBuffer) return pack(new Uint8Array(value));
      if (ArrayBuffer.isView(value)) {
        const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
        return { $: 'array', type: Object.prototype.toString.call(value).slice(8, -1), v: base64Of(bytes) };
      }
      if (value instanceof Map) return { $: 'map', v: pack([...value]) };
      return { $: 'object', v: Object.entries(value).map(([key, item]) => [key, pack(item)]) };
    }
    case 'string':
    case 'boolean':
      return value;
    default:
      throw new TypeError(`a ${typeof value} cannot cross the test driver`);
  }
}

function unpack(value) {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(unpack);
  switch (value.$) {
    case 'bigint':
      return BigInt(value.v);
    case 'undefined':
      return undefined;
    case 'number':
      return NUMBERS[value.v];
    case 'date':
      return new Date(unpack(value.v));
    case 'array':
      return new globalThis[value.type](bytesOf(value.v).buffer);
    case 'map':
      return new Map(unpack(value.v));
    default: {
      const object = {};
      for (const [key, item] of value.v) {
        const property = { value: unpack(item), enumerable: true, writable: true, configurable: true };
        Object.defineProperty(object, key, property);
      }
      return object;
    }
  }
}

/** A value as text. */
export const encode = (value) => JSON.stringify(pack(value));
/** The value of a text. */
export const decode = (text) => unpack(JSON.parse(text));

/** What there is to say about a thrown value: for a FramelockError its code and details too. */
export function errorDetails(error) {
  if (!(error instanceof Error)) return { name: 'Thrown', message: String(error) };
  const { name, message, stack = '' } = error;
  const cause = error.cause === undefined ? {} : { cause: String(error.cause) };
  return { ...error, name, message, stack, ...cause };
}
