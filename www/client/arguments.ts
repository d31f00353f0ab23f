// Checks what callers pass, and copies it: options by their own keys only (a polluted prototype is not an option),
// parameters by value, bytes into buffers that may be transferred. Everything else is INVALID_ARGUMENT.
import { FramelockError, invalidArgument } from './errors.js';
import { bytesOf, isArrayBuffer, isWellFormed, typedArrayName } from './frames/views.js';
import type { WireParams, WireValue } from './messages.js';

/** Says what is wrong with an option's value, or nothing. */
export type Check = (value: unknown) => string | undefined;

/** One of some words. */
export const oneOf =
  (...words: readonly string[]): Check =>
  (value) =>
    words.includes(value as string) ? undefined : `one of ${words.map((word) => `'${word}'`).join(', ')}`;

/** A number of at least so much. */
export const number =
  (least: number): Check =>
  (value) =>
    Number.isFinite(value) && (value as number) >= least ? undefined : `a finite number of at least ${least}`;

/** An integer of at least so much. */
export const integer =
  (least: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= least ? undefined : `an integer of at least ${least}`;

/** True or false. */
export const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'true or false');

/** A function. */
export const callback: Check = (value) => (typeof value === 'function' ? undefined : 'a function');

/** An AbortSignal of any realm: what has its methods. */
export const signal: Check = (value) => {
  const { aborted, addEventListener, removeEventListener } = (value ?? {}) as Partial<AbortSignal>;
  const methods = [addEventListener, removeEventListener];
  const isSignal = typeof aborted === 'boolean' && methods.every((method) => typeof method === 'function');
  return isSignal ? undefined : 'an AbortSignal';
};

/** A script's or file's address. */
export const url: Check = (value) =>
  typeof value === 'string' || value instanceof URL ? undefined : 'a string or a URL';

/** Such an address in full: a worker has another base than its page. */
export function resolved(what: string, given: string | URL): URL {
  const base = typeof document === 'undefined' ? globalThis.location?.href : document.baseURI;
  try {
    return new URL(given, base);
  } catch (cause) {
    throw invalidArgument(`${what} is not a URL: ${describe(given)}`, { cause });
  }
}

/** A non-empty text that UTF-8 can hold, without U+0000. Its characters are counted as Unicode's are: an emoji is one. */
export const text =
  (longest = Infinity): Check =>
  (value) => {
    if (typeof value === 'string' && value !== '' && isWellFormed(value) && !value.includes('\0')) {
      if (value.length <= longest || (value.length <= 2 * longest && [...value].length <= longest))
        return undefined;
    }
    const bound = longest === Infinity ? 'a non-empty string' : `a string of 1 to ${longest} characters`;
    return `${bound} without U+0000 and without lone surrogates`;
  };

/** Runs a reader of foreign objects; what their getters and proxies throw becomes INVALID_ARGUMENT. */
export function guarded<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof FramelockError) throw cause;
    throw invalidArgument(`${what} cannot be read: ${describe(cause)}`, { cause });
  }
}

/** A short text for any thrown or given value; never throws. */
export function describe(value: unknown): string {
  try {
    if (typeof value === 'string') return JSON.stringify(value).slice(0, 200);
    if (Array.isArray(value)) return 'an array';
    const text = String(value).slice(0, 200);
    return text === '[object Object]' ? 'an object' : text;
  } catch {
    return typeof value;
  }
}

/**
 * An object's own enumerable options as a copy without a prototype. An option that is `undefined` counts as not
 * given; one that the checks do not name is refused, since it is a misspelling.
 */
export function ownOptions<T extends object>(
  what: string,
  given: unknown,
  checks: { [K in keyof Required<T>]: Check },
): T {
  const copy = Object.create(null) as Record<string, unknown>;
  if (given === undefined) return copy as T;
  return guarded(what, () => {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      throw invalidArgument(`${what} must be an object, not ${describe(given)}`);
    }
    for (const key of Object.keys(given)) {
      const value = (given as Record<string, unknown>)[key];
      if (value === undefined) continue;
      const known = Object.hasOwn(checks, key);
      if (!known) {
        throw invalidArgument(
          `${what}: unknown option ${describe(key)}; known: ${Object.keys(checks).join(', ')}`,
        );
      }
      const wanted = checks[key as keyof T](value);
      if (wanted) throw invalidArgument(`${what}: ${key} must be ${wanted}, not ${describe(value)}`);
      copy[key] = value;
    }
    return copy as T;
  });
}

const DATABASE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;

/** A database's name. */
export function databaseName(name: unknown): string {
  if (typeof name === 'string' && DATABASE_NAME.test(name)) return name;
  throw invalidArgument(
    `a database name is 1 to 128 characters of A-Z a-z 0-9 . _ -, not starting with a dot; not ${describe(name)}`,
  );
}

/** A table's name: any text but framelock's and SQLite's own prefixes. */
export function tableName(table: unknown): string {
  const wanted = text()(table);
  if (wanted) throw invalidArgument(`a table name must be ${wanted}, not ${describe(table)}`);
  if (/^(sqlite_|_framelock_)/i.test(table as string)) {
    throw invalidArgument('names that start with sqlite_ or _framelock_ are reserved', {
      table: table as string,
    });
  }
  return table as string;
}

/** SQL text. SQLite would take U+0000 for its end, and run what is before it. */
export function sqlText(sql: unknown): string {
  if (typeof sql === 'string' && isWellFormed(sql) && !sql.includes('\0')) return sql;
  throw invalidArgument(`SQL must be a string without U+0000 and lone surrogates, not ${describe(sql)}`);
}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** One bound value. */
function wireValue(value: unknown, where: string): WireValue {
  switch (typeof value) {
    case 'number':
    case 'boolean':
      return value;
    case 'bigint':
      if (value >= INT64_MIN && value <= INT64_MAX) return value;
      throw invalidArgument(`${where}: the bigint ${value} does not fit in 64 bits`);
    case 'string':
      if (isWellFormed(value)) return value;
      throw invalidArgument(`${where}: the string has a lone surrogate, which SQLite cannot keep`);
    case 'object':
      if (value === null) return null;
      if (isDate(value)) {
        const ms = Date.prototype.getTime.call(value);
        if (Number.isNaN(ms)) throw invalidArgument(`${where}: the date is invalid`);
        return BigInt(ms);
      }
      if (isBytes(value)) return copyBytes(value, where);
  }
  throw invalidArgument(
    `${where} must be null, a number, bigint, boolean, string, Uint8Array, ArrayBuffer or Date, not ${describe(value)}`,
  );
}

/** Bound values: an array, or an object's own enumerable keys without the sign in front. */
export function wireParams(params: unknown): WireParams {
  if (params === undefined) return [];
  if (typeof params !== 'object' || params === null || isBytes(params)) {
    throw invalidArgument(`parameters must be an array or an object, not ${describe(params)}`);
  }
  return guarded('the parameters', () => {
    if (Array.isArray(params)) {
      return Array.from(params, (value, i) => wireValue(value, `parameter ${i + 1}`));
    }
    const copy: Record<string, WireValue> = {};
    for (const key of Object.keys(params)) {
      const value = wireValue((params as Record<string, unknown>)[key], `parameter ${describe(key)}`);
      Object.defineProperty(copy, key, { value, enumerable: true, writable: true, configurable: true });
    }
    return copy;
  });
}

/** The class of a built-in object, whatever realm it comes from and whatever its prototype says. */
function isDate(value: object): boolean {
  try {
    Date.prototype.getTime.call(value);
    return true;
  } catch {
    return false;
  }
}

/** True for what `copyBytes` takes: an ArrayBuffer or a Uint8Array of any realm. */
export function isBytes(value: unknown): value is Uint8Array | ArrayBuffer {
  return typedArrayName(value) === 'Uint8Array' || isArrayBuffer(value);
}

/** A copy of a caller's bytes, in a buffer of exactly that size that may be transferred. */
export function copyBytes(bytes: Uint8Array | ArrayBuffer, where: string): Uint8Array<ArrayBuffer> {
  let view: Uint8Array;
  try {
    view = bytesOf(bytes)!;
  } catch (cause) {
    throw invalidArgument(`${where}: the buffer is detached or out of bounds`, { cause });
  }
  if (!isArrayBuffer(view.buffer)) throw invalidArgument(`${where}: bytes in shared memory are not taken`);
  try {
    return view.slice() as Uint8Array<ArrayBuffer>;
  } catch (cause) {
    const message = `${where}: no memory for a copy of ${view.byteLength} bytes`;
    throw new FramelockError('WORKER_FAILED', message, { cause });
  }
}
