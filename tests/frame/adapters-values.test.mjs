// Columns and rows of plain values, and everything that is neither. What the packed bytes mean is tested in Rust
// (src/frame/packed/tests.rs); here they are unpacked by a few lines of JavaScript.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { FramelockError, packFrame, rowsOf } from './adapters-client.mjs';

/** The error that packing throws, as [code, column, row]. */
function refusal(input) {
  try {
    packFrame(input);
  } catch (error) {
    assert.ok(error instanceof FramelockError, `not one of ours: ${error.stack}`);
    return [error.code, error.column, error.row];
  }
  return assert.fail('it was accepted');
}

/** The values of packed cells, by column; typed arrays as their bytes. */
function unpack({ descriptor, buffers }) {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const { rows, columns } = JSON.parse(descriptor);
  const region = (at) => (at ? buffers[at[0]].slice(at[1], at[1] + at[2]) : new Uint8Array(0));
  return columns.map((column) => {
    if (column.kind !== 'cells') return [column.name, column.kind, [...region(column.values)]];
    const pool = (name, Type) => new Type(region(column[name]).buffer)[Symbol.iterator]();
    const pieces = (name, lengths) => {
      const bytes = region(column[name]);
      let at = 0;
      return pool(lengths, Uint32Array).map((length) => bytes.slice(at, (at += length)));
    };
    const [numbers, ints, uints] = [
      pool('numbers', Float64Array),
      pool('ints', BigInt64Array),
      pool('uints', BigUint64Array),
    ];
    const [texts, blobs] = [pieces('texts', 'textLengths'), pieces('blobs', 'blobLengths')];
    const next = (iterator) => iterator.next().value;
    const text = () => decoder.decode(next(texts));
    const read = [
      () => null,
      () => next(numbers),
      () => next(ints),
      text,
      () => next(blobs),
      () => false,
      () => true,
      () => new Date(next(numbers)),
      () => next(uints),
      () => BigInt(text()),
    ];
    const values = [...region(column.tags)].map((tag) => read[tag]());
    assert.equal(values.length, rows);
    for (const iterator of [numbers, ints, uints, texts, blobs]) assert.ok(iterator.next().done);
    return [column.name, values];
  });
}
// Node 20 has no iterator helpers.
const iteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
iteratorPrototype.map ??= function* (f) {
  for (const value of this) yield f(value);
};

const EVERYTHING = [
  null,
  undefined,
  0,
  -0,
  0.1,
  NaN,
  -Infinity,
  2 ** 53,
  1n,
  -(2n ** 63n),
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 64n,
  -(2n ** 100n),
  '',
  'a\0b',
  'é',
  '🦀'.repeat(30),
  'x'.repeat(100_000),
  true,
  false,
  new Date(-1),
  new Uint8Array(0),
  Uint8Array.of(0, 255),
];
const expected = EVERYTHING.map((value) => value ?? null);

test('columns and rows give back every value', () => {
  assert.deepEqual(unpack(packFrame({ a: EVERYTHING })), [['a', expected]]);
  assert.deepEqual(unpack(packFrame(EVERYTHING.map((a) => ({ a })))), [['a', expected]]);
  const buffer = Uint8Array.of(1, 2).buffer;
  assert.deepEqual(unpack(packFrame({ a: [buffer, Buffer.from([3])] })), [
    ['a', [Uint8Array.of(1, 2), Uint8Array.of(3)]],
  ]);
});

test('pools grow', () => {
  const n = 5000;
  const many = (f) => Array.from({ length: n }, (_, i) => f(i));
  for (const values of [
    many((i) => i / 2),
    many((i) => BigInt(i)),
    many((i) => 2n ** 63n + BigInt(i)),
    many((i) => `${i}`),
    many((i) => 'é'.repeat(i % 300)),
    many((i) => new Uint8Array(i % 50).fill(i)),
    many((i) => new Date(i)),
  ]) {
    assert.deepEqual(unpack(packFrame({ a: values })), [['a', values]]);
  }
});

test('typed arrays are moved as they are', () => {
  const columns = {
    a: Int8Array.of(-1, 1),
    b: new Float64Array([0, 0.5, -0, 9]).subarray(1, 3),
    c: new Uint8ClampedArray([300, 1]),
    d: BigUint64Array.of(1n, 2n),
  };
  const expected = Object.entries({ a: 'int8', b: 'float64', c: 'uint8', d: 'uint64' }).map(
    ([name, kind]) => {
      const { buffer, byteOffset, byteLength } = columns[name];
      return [name, kind, [...new Uint8Array(buffer, byteOffset, byteLength)]];
    },
  );
  assert.deepEqual(unpack(packFrame(columns)), expected);
});

test('missing keys, holes and undefined are null, never the value of the row before', () => {
  const holes = [1, , 3]; // eslint-disable-line no-sparse-arrays
  assert.deepEqual(unpack(packFrame({ a: holes })), [['a', [1, null, 3]]]);
  const rows = [{ a: 1, b: 'x' }, { b: 'y' }, { c: true, a: 2 }, {}, { a: undefined, b: null, c: false }];
  assert.deepEqual(unpack(packFrame(rows)), [
    ['a', [1, null, 2, null, null]],
    ['b', ['x', 'y', null, null, null]],
    ['c', [null, null, true, null, false]],
  ]);
});

test('a polluted prototype fills neither holes nor keys', () => {
  Array.prototype[1] = 'evil'; // eslint-disable-line no-extend-native
  Object.prototype.evil = 'evil'; // eslint-disable-line no-extend-native
  try {
    assert.deepEqual(unpack(packFrame({ a: [1, , 3] })), [['a', [1, null, 3]]]); // eslint-disable-line no-sparse-arrays
    assert.deepEqual(unpack(packFrame([{ a: 1 }, {}])), [['a', [1, null]]]);
  } finally {
    delete Array.prototype[1];
    delete Object.prototype.evil;
  }
});

test('hostile column names are names like any other', () => {
  const names = [
    '__proto__',
    'constructor',
    'toString',
    '',
    'a\0b',
    'x"y',
    'x'.repeat(10_000),
    '\u202eabc',
    'hasOwnProperty',
    '7',
  ];
  const columns = Object.fromEntries(names.map((name) => [name, [1]]));
  const packed = unpack(packFrame(columns));
  assert.deepEqual(packed.map(([name]) => name).sort(), names.toSorted?.() ?? [...names].sort());
  assert.deepEqual(
    unpack(packFrame([columns].map((c) => Object.fromEntries(Object.keys(c).map((k) => [k, 1]))))),
    packed,
  );
  assert.deepEqual(unpack(packFrame(JSON.parse('[{"__proto__":1},{"__proto__":2}]'))), [
    ['__proto__', [1, 2]],
  ]);
  assert.deepEqual(refusal({ '\ud800': [1] }), ['INVALID_ARGUMENT', '\ud800', undefined]);
  assert.deepEqual(refusal({ '\ud800': Int8Array.of(1) }), ['INVALID_ARGUMENT', '\ud800', undefined]);
  assert.equal(refusal([{ '\udc00': 1 }])[0], 'INVALID_ARGUMENT');
});

test('only own enumerable string keys count', () => {
  const columns = Object.create(null);
  columns.a = [1];
  columns[Symbol('b')] = [1];
  Object.defineProperty(columns, 'c', { value: [1], enumerable: false });
  assert.deepEqual(unpack(packFrame(columns)), [['a', [1]]]);
  class Row {
    a = 1;
    get b() {
      return 2;
    }
  }
  assert.deepEqual(unpack(packFrame([new Row()])), [['a', [1]]]);
});

test('values that cannot be stored are refused naming row and column', () => {
  const proxy = new Proxy(
    {},
    {
      get() {
        throw new Error('trap');
      },
    },
  );
  const detached = Uint8Array.of(1);
  structuredClone(detached, { transfer: [detached.buffer] });
  for (const [value, code] of [
    [Symbol('s'), 'INVALID_ARGUMENT'],
    [() => 1, 'INVALID_ARGUMENT'],
    [{}, 'INVALID_ARGUMENT'],
    [[1], 'INVALID_ARGUMENT'],
    [new Map(), 'INVALID_ARGUMENT'],
    [Object(1), 'INVALID_ARGUMENT'],
    [Float32Array.of(1), 'INVALID_ARGUMENT'],
    [new DataView(new ArrayBuffer(1)), 'INVALID_ARGUMENT'],
    [new Date(NaN), 'INVALID_ARGUMENT'],
    [proxy, 'INVALID_ARGUMENT'],
    [detached, 'INVALID_ARGUMENT'],
    [detached.buffer, 'INVALID_ARGUMENT'],
    ['a\ud800b', 'LOSSY_VALUE'],
    [`${'x'.repeat(100)}\udc00`, 'LOSSY_VALUE'],
    ['\udc00\ud800', 'LOSSY_VALUE'],
    [2n ** 300n, 'LOSSY_VALUE'],
  ]) {
    assert.deepEqual(refusal({ fine: [1, 2], c: [null, value] }), [code, 'c', 1], String(code));
    assert.deepEqual(refusal([{ c: null }, { fine: 1, c: value }]), [code, 'c', 1]);
  }
});

test('what throws while it is read is refused naming the place', () => {
  const thrower = (key) => ({
    get [key]() {
      throw new Error('boo');
    },
  });
  assert.deepEqual(refusal(thrower('c')), ['INVALID_ARGUMENT', 'c', undefined]);
  assert.deepEqual(refusal([{ c: 1 }, thrower('c')]), ['INVALID_ARGUMENT', 'c', 1]);
  assert.deepEqual(refusal(thrower('schema')), ['INVALID_ARGUMENT', undefined, undefined]);
  const array = [1, 2, 3];
  Object.defineProperty(array, 2, { get: () => assert.fail('boo') });
  assert.deepEqual(refusal({ c: array }), ['INVALID_ARGUMENT', 'c', 2]);
  const trap = (name) => new Proxy({ c: 1 }, { [name]: () => assert.fail(name) });
  assert.deepEqual(refusal([{ c: 1 }, trap('ownKeys')]), ['INVALID_ARGUMENT', undefined, 1]);
  assert.equal(refusal(trap('get'))[0], 'INVALID_ARGUMENT');
  assert.equal(refusal(trap('getPrototypeOf'))[0], 'INVALID_ARGUMENT');
  const { proxy, revoke } = Proxy.revocable([], {});
  revoke();
  assert.equal(refusal(proxy)[0], 'INVALID_ARGUMENT');
  assert.equal(refusal({ c: proxy })[0], 'INVALID_ARGUMENT');
  const thrownNothing = {
    get c() {
      throw Object.create(null);
    },
  };
  assert.equal(refusal(thrownNothing)[0], 'INVALID_ARGUMENT');
});

test('proxies, frozen and subclassed arrays, and those of another realm are read', () => {
  class Doubles extends Float64Array {
    get length() {
      return 1e9;
    }
    get [Symbol.toStringTag]() {
      return 'Int8Array';
    }
  }
  class Cells extends Array {}
  const realm = runInNewContext(
    '({ t: Float64Array.of(1, 2), a: [1, "x"], d: [new Date(5), null], b: [Uint8Array.of(1), null] })',
  );
  assert.equal(unpack(packFrame({ t: new Doubles([1, 2]) }))[0][1], 'float64');
  assert.deepEqual(
    unpack(packFrame({ a: Object.freeze([1]), b: Cells.from(['x']), c: new Proxy([true], {}) })),
    [
      ['a', [1]],
      ['b', ['x']],
      ['c', [true]],
    ],
  );
  const [t, a, d, b] = unpack(packFrame(realm));
  assert.deepEqual(
    [t[1], a[1], d[1], b[1]],
    ['float64', [1, 'x'], [new Date(5), null], [Uint8Array.of(1), null]],
  );
});

test('detached and shrunk buffers are refused, shared and resizable ones are copied', () => {
  const detached = Float64Array.of(1, 2);
  structuredClone(detached, { transfer: [detached.buffer] });
  assert.deepEqual(refusal({ c: detached }), ['INVALID_ARGUMENT', 'c', undefined]);
  assert.equal(refusal(detached.buffer)[0], 'INVALID_ARGUMENT');

  const resizable = new ArrayBuffer(16, { maxByteLength: 32 });
  const fixed = new Float64Array(resizable, 8, 1);
  const tracking = new Float64Array(resizable);
  assert.equal(rowsOf(packFrame({ c: tracking })), 2);
  resizable.resize(8);
  assert.equal(rowsOf(packFrame({ c: tracking })), 1);
  assert.deepEqual(refusal({ c: fixed }), ['INVALID_ARGUMENT', 'c', undefined]);

  const shared = new Float64Array(new SharedArrayBuffer(16));
  const packed = packFrame({ c: shared });
  const { buffers } = packed;
  assert.equal(rowsOf(packed), 2);
  assert.ok(buffers.every(({ buffer }) => buffer instanceof ArrayBuffer));
});

test('a buffer that a getter detaches while we read is refused', () => {
  const victim = Float64Array.of(1, 2);
  const columns = {
    victim,
    get evil() {
      structuredClone(victim, { transfer: [victim.buffer] });
      return [1, 2];
    },
  };
  assert.equal(refusal(columns)[0], 'INVALID_ARGUMENT');
});

test('changes after the call change nothing', () => {
  const columns = { t: Int32Array.of(1, 2), a: [1, Uint8Array.of(5)] };
  const packed = packFrame(columns);
  const before = unpack(packed);
  columns.t.fill(9);
  columns.a[1].fill(9);
  columns.a[0] = 'other';
  assert.deepEqual(unpack(packed), before);
  assert.equal(new Set(packed.buffers.map(({ buffer }) => buffer)).size, packed.buffers.length);
  structuredClone(packed, { transfer: packed.buffers.map(({ buffer }) => buffer) });
});

test('columns of unequal length are refused', () => {
  assert.deepEqual(refusal({ a: [1], b: [1, 2] }), ['INVALID_FRAME', 'b', undefined]);
  assert.deepEqual(refusal({ a: Int8Array.of(1, 2), b: [1] }), ['INVALID_FRAME', 'b', undefined]);
  assert.deepEqual(refusal({ a: [], b: Int8Array.of(1) }), ['INVALID_FRAME', 'b', undefined]);
  // Before a hostile length makes us reserve room for it.
  assert.deepEqual(refusal({ a: [1], b: new Array(2 ** 32 - 1) }), ['INVALID_FRAME', 'b', undefined]);
});

test('nothing gives a frame without columns', () => {
  for (const [input, rows] of [
    [{}, 0],
    [[], 0],
    [[{}, {}], 2],
    [Object.create(null), 0],
  ]) {
    const packed = packFrame(input);
    assert.deepEqual([packed.form, rowsOf(packed), unpack(packed)], ['packed', rows, []]);
  }
});

test('what is no frame is refused', () => {
  for (const input of [
    undefined,
    null,
    1,
    'SELECT 1',
    Symbol('s'),
    () => 1,
    Float64Array.of(1),
    new DataView(new ArrayBuffer(8)),
    new Map([['a', [1]]]),
    new Date(),
    Promise.resolve([]),
    new (class Frame {
      a = [1];
    })(),
    { a: 1 },
    { a: 'text' },
    { a: new Set([1]) },
    { a: { length: 1, 0: 1 } },
    { a: null },
    [1],
    [null],
    ['text'],
    [[1]],
    [Uint8Array.of(1)],
    [new Map([['a', 1]])],
    [new Date()],
    [undefined],
    [, {}], // eslint-disable-line no-sparse-arrays
  ]) {
    assert.equal(refusal(input)[0], 'INVALID_ARGUMENT');
  }
});
