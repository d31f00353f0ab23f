// Packed columns → rows and arrays (www/client/rows.ts), on columns packed by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeColumns, decodeRows, Tag } from '../../.cache/modules/rows.js';

const utf8 = new TextEncoder();

/** A text column: its UTF-8 and its ends in UTF-16 code units. */
function texts(name, values) {
  let end = 0;
  const textEnds = Uint32Array.from(values, (value) => (end += value.length));
  return { name, tag: Tag.text, text: utf8.encode(values.join('')), textEnds };
}

test('one tag for all rows reads one pool', () => {
  const columns = [
    { name: 'n', tag: Tag.number, numbers: Float64Array.of(1.5, -0, NaN) },
    { name: 'b', tag: Tag.bigint, bigints: BigInt64Array.of(-(2n ** 63n), 0n, 2n ** 63n - 1n) },
    { name: 'x', tag: Tag.null },
    { name: 't', tag: Tag.true },
    { name: 'd', tag: Tag.date, numbers: Float64Array.of(0, -1, 8.64e15) },
  ];
  const rows = decodeRows(3, columns);
  assert.deepEqual(rows[0], { n: 1.5, b: -(2n ** 63n), x: null, t: true, d: new Date(0) });
  assert.ok(Object.is(rows[1].n, -0));
  assert.ok(Number.isNaN(rows[2].n));
  assert.deepEqual(rows[2].d, new Date(8.64e15));
});

test('a tag for each row reads each pool in row order', () => {
  const tags = Uint8Array.of(
    Tag.null,
    Tag.number,
    Tag.text,
    Tag.blob,
    Tag.number,
    Tag.bigint,
    Tag.text,
    Tag.false,
    Tag.blob,
    Tag.blob,
    Tag.date,
  );
  const column = {
    ...texts('mixed', ['x', 'yz']),
    tag: undefined,
    tags,
    numbers: Float64Array.of(1, 2, 1000),
    bigints: BigInt64Array.of(7n),
    blobs: Uint8Array.of(9, 8, 7),
    blobEnds: Uint32Array.of(1, 1, 3),
  };
  const values = decodeColumns(tags.length, [column]).mixed;
  const bytes = (...list) => Uint8Array.from(list);
  const want = [null, 1, 'x', bytes(9), 2, 7n, 'yz', false, bytes(), bytes(8, 7), new Date(1000)];
  assert.deepEqual(values, want);
  assert.deepEqual(
    decodeRows(tags.length, [column]).map((row) => row.mixed),
    want,
  );
});

test('a column comes as the array of its type, if its values are of it', () => {
  const numbers = (array, ...values) => ({
    name: 'c',
    array,
    tag: Tag.number,
    numbers: Float64Array.from(values),
  });
  const bigints = (array, ...values) => ({
    name: 'c',
    array,
    tag: Tag.bigint,
    bigints: BigInt64Array.from(values),
  });
  const cases = [
    [numbers('Int8Array', -128, 127), Int8Array.of(-128, 127)],
    [numbers('Int8Array', 128), Float64Array.of(128)],
    [numbers('Uint32Array', 2 ** 32 - 1), Uint32Array.of(2 ** 32 - 1)],
    [numbers('Uint32Array', -1), Float64Array.of(-1)],
    [numbers('Int32Array', 1.5), Float64Array.of(1.5)],
    [numbers('Float32Array', Math.fround(0.1), Infinity), Float32Array.of(0.1, Infinity)],
    [numbers('Float32Array', 0.1), Float64Array.of(0.1)],
    [numbers('BigInt64Array', 1.5), Float64Array.of(1.5)],
    [numbers(undefined, 1), Float64Array.of(1)],
    [bigints('BigInt64Array', -1n), BigInt64Array.of(-1n)],
    [bigints('BigUint64Array', 0n, 2n ** 63n - 1n), BigUint64Array.of(0n, 2n ** 63n - 1n)],
    [bigints('BigUint64Array', -1n), BigInt64Array.of(-1n)],
    [bigints('Float64Array', 2n ** 60n), BigInt64Array.of(2n ** 60n)],
  ];
  for (const [column, want] of cases) {
    assert.deepEqual(decodeColumns(want.length, [column]).c, want, `${column.array} of ${want}`);
  }
  const empty = { tags: new Uint8Array(0) };
  assert.deepEqual(decodeColumns(0, [{ name: 'c', array: 'Uint16Array', ...empty }]).c, new Uint16Array(0));
  assert.deepEqual(decodeColumns(0, [{ name: 'c', ...empty }]).c, []);
});

test('texts: empty, U+0000, astral, a leading BOM and multi-byte neighbours', () => {
  const values = ['', '\uFEFFbom', 'a\0b', '😀', 'é', '', '\uFEFF', '日本語'];
  const rows = decodeRows(values.length, [texts('s', values)]);
  assert.deepEqual(
    rows.map((row) => row.s),
    values,
  );
});

test('a blob is a copy of its own, which may be transferred', () => {
  const blobs = Uint8Array.of(1, 2, 3);
  const [first, second] = decodeRows(2, [
    { name: 'b', tag: Tag.blob, blobs, blobEnds: Uint32Array.of(2, 3) },
  ]);
  structuredClone(first.b, { transfer: [first.b.buffer] });
  assert.deepEqual(second.b, Uint8Array.of(3));
});

test('hostile and doubled column names', () => {
  const column = (name, value) => ({ name, tag: Tag.number, numbers: Float64Array.of(value) });
  const columns = [
    column('__proto__', 1),
    column('constructor', 2),
    column('', 3),
    column('a', 4),
    column('a', 5),
    column('0', 6),
  ];
  const [row] = decodeRows(1, columns);
  assert.equal(Object.getPrototypeOf(row), Object.prototype);
  assert.equal(Object.hasOwn(row, '__proto__'), true);
  assert.deepEqual(
    new Map(Object.entries(row)),
    new Map(Object.entries(JSON.parse('{"0":6,"__proto__":1,"constructor":2,"":3,"a":5}'))),
  );
  const arrays = decodeColumns(1, columns);
  assert.equal(Object.getPrototypeOf(arrays), Object.prototype);
  assert.deepEqual(Object.getOwnPropertyDescriptor(arrays, '__proto__').value, Float64Array.of(1));
  assert.deepEqual(arrays.a, Float64Array.of(5));
});

test('a setter on Object.prototype does not see the rows', () => {
  let seen = 0;
  Object.defineProperty(Object.prototype, 'price', { set: () => seen++, configurable: true });
  try {
    const [row] = decodeRows(1, [{ name: 'price', tag: Tag.number, numbers: Float64Array.of(2) }]);
    assert.equal(row.price, 2);
    assert.equal(seen, 0);
  } finally {
    delete Object.prototype.price;
  }
});

test('no rows and no columns', () => {
  assert.deepEqual(decodeRows(0, [texts('s', [])]), []);
  assert.deepEqual(decodeRows(2, []), [{}, {}]);
  assert.deepEqual(decodeColumns(0, []), {});
});

test('an unknown tag is an error, not undefined', () => {
  assert.throws(() => decodeRows(1, [{ name: 'n', tag: 99 }]), /unknown tag 99 in row 0 of column n/);
});
