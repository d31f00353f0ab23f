// Columns and rows of plain values, each with the IPC bytes, written by apache-arrow, of the table it means.
import * as arrow from 'apache-arrow';

const { Field, makeData, RecordBatch, Schema, Struct, Table, vectorFromArray } = arrow;

/** IPC bytes of columns given as { name: [type, values] }, all nullable. */
function ipcOf(columns) {
  const fields = Object.entries(columns).map(([name, [type]]) => new Field(name, type, true));
  const children = Object.values(columns).map(([type, values]) => vectorFromArray(values, type).data[0]);
  const schema = new Schema(fields);
  const length = children[0].length;
  const data = makeData({ type: new Struct(fields), length, nullCount: 0, children });
  return arrow.tableToIPC(new Table(schema, [new RecordBatch(schema, data)]), 'stream');
}

const utc = new arrow.TimestampMillisecond('UTC');
const dates = [new Date(0), new Date(-1), new Date(8.64e15)];
const long = 'more than forty units of plain ASCII text, to be encoded at once';

/** All of them: { name, input, ipc }. */
export function values() {
  const typed = {
    int8: [new arrow.Int8(), Int8Array.of(-128, 127)],
    int16: [new arrow.Int16(), Int16Array.of(-32768, 1)],
    int32: [new arrow.Int32(), Int32Array.of(-1, 2 ** 31 - 1)],
    int64: [new arrow.Int64(), BigInt64Array.of(-(2n ** 63n), 1n)],
    uint8: [new arrow.Uint8(), Uint8Array.of(255, 0)],
    clamped: [new arrow.Uint8(), Uint8ClampedArray.of(255, 0)],
    uint16: [new arrow.Uint16(), Uint16Array.of(65535, 0)],
    uint32: [new arrow.Uint32(), Uint32Array.of(2 ** 32 - 1, 0)],
    uint64: [new arrow.Uint64(), BigUint64Array.of(2n ** 64n - 1n, 0n)],
    float32: [new arrow.Float32(), Float32Array.of(0.5, -0)],
    float64: [new arrow.Float64(), Float64Array.of(NaN, -0)],
  };
  const plain = {
    integers: [new arrow.Int64(), [1, null, Number.MIN_SAFE_INTEGER]],
    numbers: [new arrow.Float64(), [1, 0.1, -0]],
    bigints: [new arrow.Int64(), [2n ** 63n - 1n, null, -(2n ** 63n)]],
    booleans: [new arrow.Bool(), [true, false, null]],
    texts: [new arrow.Utf8(), ['', null, `a\0b Zoë 🦀 ${long}`]],
    ascii: [new arrow.Utf8(), ['a', long, '']],
    dates: [utc, dates],
    blobs: [new arrow.Binary(), [new Uint8Array(0), null, Uint8Array.of(0, 255)]],
    nulls: [new arrow.Null(), [null, null, null]],
    ['__proto__']: [new arrow.Utf8(), ['a', 'b', 'c']],
  };
  const input = (columns) => {
    const entries = Object.entries(columns).map(([name, [, values]]) => [name, values]);
    return Object.fromEntries(entries);
  };
  const bigints = (columns) =>
    Object.fromEntries(
      Object.entries(columns).map(([name, [type, values]]) => [
        name,
        [type, name === 'integers' ? values.map((v) => v && BigInt(v)) : [...values]],
      ]),
    );
  const columns = input(plain);
  const rows = [0, 1, 2].map((row) =>
    Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[row]])),
  );
  return [
    { name: 'typed arrays', input: input(typed), ipc: ipcOf(bigints(typed)) },
    { name: 'plain arrays', input: columns, ipc: ipcOf(bigints(plain)) },
    { name: 'rows', input: rows, ipc: ipcOf(bigints(plain)) },
    {
      name: 'rows with differing keys',
      input: [{ a: 1 }, {}, { b: 'x', a: undefined }, { a: 4, b: 'y' }],
      ipc: ipcOf({
        a: [new arrow.Int64(), [1n, null, null, 4n]],
        b: [new arrow.Utf8(), [null, null, 'x', 'y']],
      }),
    },
  ];
}
