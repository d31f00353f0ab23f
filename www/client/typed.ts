// A row's type, stated once: what `query<Row>` gives, and from it what `appendFrame<Row>` takes. Types only.

/** Typed arrays, each a column of its own kind. */
type TypedArray =
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/**
 * What may be given for a value that is read back as `Value`: a number for a bigint, a stored number for a `Date`, a
 * buffer for bytes, `undefined` for null.
 */
export type Given<Value> = Value extends bigint
  ? bigint | number
  : Value extends Date
    ? Date | number | bigint
    : Value extends Uint8Array
      ? Uint8Array | ArrayBuffer
      : Value extends null
        ? null | undefined
        : Value;

/** The columns of a row that may be left out: those that may be null or undefined. */
type OptionalKeys<Row> = {
  [Key in keyof Row]-?: null extends Row[Key] ? Key : undefined extends Row[Key] ? Key : never;
}[keyof Row];

type RequiredKeys<Row> = Exclude<keyof Row, OptionalKeys<Row>>;

/** A column's values: an array, or a typed array of the kind. */
type GivenColumn<Value> =
  readonly Given<Value>[] | Extract<TypedArray, ArrayLike<Exclude<Given<Value>, null | undefined>>>;

/** A row as it may be given to `appendFrame<Row>`. */
export type GivenRow<Row> = { readonly [Key in RequiredKeys<Row>]: Given<Row[Key]> } & {
  readonly [Key in OptionalKeys<Row>]?: Given<Row[Key]>;
};

/** Columns as they may be given to `appendFrame<Row>`. */
export type GivenColumns<Row> = object & { readonly [Key in RequiredKeys<Row>]: GivenColumn<Row[Key]> } & {
  readonly [Key in OptionalKeys<Row>]?: GivenColumn<Row[Key]>;
};

/** A table of an Arrow library: what it holds is checked when it is written. */
export interface ArrowTable {
  readonly schema: { readonly fields: readonly unknown[] };
  readonly numRows: number;
}

/** No promise: where an `await` was forgotten, the frame does not compile. A column may be called `then`. */
export interface NotAPromise {
  readonly then?: readonly unknown[] | ArrayBufferView | undefined;
}

/** A frame of rows of one type; Arrow bytes and tables are checked when they are written. */
export type TypedFrame<Row> =
  readonly GivenRow<Row>[] | (GivenColumns<Row> & NotAPromise) | Uint8Array | ArrayBuffer | ArrowTable;

/** The names of a row's columns. */
export type ColumnName<Row> = keyof Row & string;
