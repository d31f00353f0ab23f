// What the page makes of Arrow tables: what the descriptor says, and that the bytes are copies. That they mean the
// same as the IPC bytes is tested in Rust, on fixtures of the same tables (src/frame/raw/tests.rs).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as arrow from 'apache-arrow';
import * as flechette from '@uwdata/flechette';
import { FramelockError, packFrame, rowsOf } from './adapters-client.mjs';
import { tables } from './adapters-tables.mjs';

const all = new Map(tables().map(({ name, table }) => [name, table]));

/** The error that packing throws. */
function refusal(input) {
  try {
    packFrame(input);
  } catch (error) {
    assert.ok(error instanceof FramelockError, `not one of ours: ${error.stack}`);
    return error;
  }
  return assert.fail('it was accepted');
}

/** Everything that was packed, to compare. */
const content = ({ form, descriptor, buffers }) => ({
  form,
  descriptor: JSON.parse(descriptor),
  bytes: buffers.map((bytes) => Buffer.from(bytes).toString('base64')),
});

test('a table of every type is taken apart, whatever the library', () => {
  for (const [name, table] of all) {
    const packed = packFrame(table);
    assert.equal(packed.form, 'raw', name);
    assert.equal(rowsOf(packed), table.numRows, name);
    assert.equal(packed.buffers.length, 1, name);
    const { fields, columns } = JSON.parse(packed.descriptor);
    assert.deepEqual(
      fields.map((field) => field.name),
      table.schema.fields.map((field) => field.name),
    );
    assert.equal(columns.length, fields.length, name);
  }
});

test('the options with which a table was read change nothing', () => {
  const { descriptor, bytes } = content(packFrame(all.get('flechette all_from_ipc')));
  const other = content(packFrame(all.get('flechette all_with_options')));
  assert.deepEqual(other.descriptor, descriptor);
  assert.deepEqual(other.bytes, bytes);
});

test('buffers are copies: writing to the table afterwards changes nothing', () => {
  const values = Int32Array.of(1, 2, 3);
  const table = new arrow.Table({ a: arrow.makeVector(values) });
  const packed = packFrame(table);
  const before = content(packed);
  values.fill(9);
  assert.deepEqual(content(packed), before);
  assert.equal(values.buffer.byteLength, 12, 'the caller keeps its buffer');
  structuredClone(packed.buffers, { transfer: packed.buffers.map((bytes) => bytes.buffer) });
});

test('of a slice only the slice is moved', () => {
  const n = 100_000;
  const list = new arrow.List(new arrow.Field('item', new arrow.Int32(), true));
  const lists = arrow.makeVector(
    arrow.makeData({
      type: list,
      length: n,
      valueOffsets: Int32Array.from({ length: n + 1 }, (_, i) => i),
      child: arrow.makeData({ type: new arrow.Int32(), data: new Int32Array(n) }),
    }),
  );
  const texts = arrow.vectorFromArray(
    Array.from({ length: n }, (_, i) => `text ${i}`),
    new arrow.Utf8(),
  );
  const table = new arrow.Table({ lists, texts, bools: arrow.vectorFromArray(new Array(n).fill(true)) });
  const packed = packFrame(table.slice(70_000, 70_010));
  const { buffers } = packed;
  assert.equal(rowsOf(packed), 10);
  assert.ok(buffers[0].length < 500, `${buffers[0].length} bytes for 10 rows`);
});

test('no rows are no rows, with or without children', () => {
  const apache = [...all].filter(([name]) => name.startsWith('apache ')).map(([, table]) => table);
  const columns = apache.flatMap((table) => table.schema.fields.map((field, i) => ({ table, field, i })));
  const nested = columns.filter(({ field }) => field.type.children?.length > 0);
  assert.ok(nested.length > 6);
  const deep = new arrow.Field('deep', new arrow.List(nested[0].field), true);
  const words = new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32());
  const coded = new arrow.Field('coded', new arrow.List(new arrow.Field('item', words, true)), true);
  const column = (vector) => packFrame(new arrow.Table({ c: vector }));
  for (const { field, table, i } of [...nested, { field: deep }, { field: coded }]) {
    const { name, type } = field;
    const made = arrow.makeVector(arrow.makeData({ type, length: 0 }));
    for (const vector of [made, arrow.vectorFromArray([], type)]) {
      const packed = column(vector);
      const { descriptor } = packed;
      assert.equal(rowsOf(packed), 0, name);
      const [[node]] = JSON.parse(descriptor).columns;
      assert.equal(node.c.length, type.children.length, name);
    }
    if (table) assert.equal(rowsOf(column(table.getChildAt(i).slice(1, 1))), 0, name);
  }
});

test('a dictionary is sent once, however many batches and columns share it', () => {
  const words = Array.from({ length: 1000 }, (_, i) => `a rather long word, number ${i}`);
  const type = new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32());
  const vector = arrow.vectorFromArray(words, type);
  const table = new arrow.Table({
    a: vector.slice(0, 10).concat(vector.slice(10, 20)),
    b: vector.slice(20, 40),
  });
  const packed = packFrame(table);
  const { dictionaries } = JSON.parse(packed.descriptor);
  assert.equal(dictionaries.length, 1);
  assert.ok(packed.buffers[0].length < 40_000);
});

test('a table that went through structuredClone is still a table', () => {
  const { schema, batches } = all.get('apache batches');
  const cloned = structuredClone({
    schema: {
      fields: schema.fields.map(({ name, type, nullable }) => ({ name, type: { ...type }, nullable })),
    },
    batches: batches.map(({ data }) => ({ data })),
  });
  assert.equal(rowsOf(packFrame(cloned)), 22);
});

test('a table from another copy of the library is read: nothing is asked with instanceof', () => {
  const table = all.get('apache batches');
  const anonymous = (object) => Object.setPrototypeOf({ ...object }, null);
  const type = (source) => anonymous({ ...source, typeId: source.typeId });
  const copy = anonymous({
    schema: anonymous({
      metadata: new Map([['origin', 'test']]),
      fields: table.schema.fields.map((field) => anonymous({ ...field, type: type(field.type) })),
    }),
    batches: table.batches.map(({ data }) =>
      anonymous({
        data: anonymous({
          length: data.length,
          offset: data.offset,
          children: data.children.map((child) =>
            anonymous({ ...child, type: type(child.type), nullCount: child.nullCount }),
          ),
        }),
      }),
    ),
  });
  assert.deepEqual(content(packFrame(copy)), content(packFrame(table)));
});

test('trailing nulls beyond the builder’s first buffer keep their bitmap', () => {
  const packed = packFrame(all.get('flechette trailing_nulls'));
  const { columns } = JSON.parse(packed.descriptor);
  assert.ok(columns.flat().every((node) => node.v[2] === Math.ceil(9001 / 8)));
});

test('a column that is called like a part of a table is a column', () => {
  for (const columns of [
    { schema: [1], batches: ['x'] },
    { schema: ['x'], children: [1] },
    { batches: [1], fields: ['x'] },
    { schema: Int32Array.of(1), data: [1], children: [2], getChildAt: [3] },
  ]) {
    const { form, descriptor } = packFrame(columns);
    assert.equal(form, 'packed');
    assert.deepEqual(
      JSON.parse(descriptor).columns.map((column) => column.name),
      Object.keys(columns),
    );
  }
});

test('a table that cannot be read is refused naming the column', () => {
  const int = { typeId: 2, bitWidth: 32, isSigned: true };
  const field = (type = int) => ({ name: 'bad', type, nullable: true, metadata: new Map() });
  const data = (chunk) => ({ type: int, length: 2, offset: 0, nullCount: 0, children: [], ...chunk });
  const table = (chunk, type) => ({
    schema: { fields: [field(type)], metadata: new Map() },
    batches: [{ data: { length: 2, nullCount: 0, children: [chunk] } }],
  });
  const values = Int32Array.of(1, 2);
  assert.equal(rowsOf(packFrame(table(data({ values })))), 2);
  const list = { typeId: 12, children: [field()] };
  const dictionary = { typeId: -1, indices: int, dictionary: { typeId: 5 } };
  const deep = (depth) => (depth === 0 ? int : { typeId: 12, children: [field(deep(depth - 1))] });
  const circular = { typeId: 12, children: [] };
  circular.children.push(field(circular));
  const detached = Int32Array.of(1, 2);
  structuredClone(detached, { transfer: [detached.buffer] });
  for (const [what, input] of Object.entries({
    'no chunk': table(undefined),
    'values that are a plain array': table(data({ values: [1, 2] })),
    'detached values': table(data({ values: detached })),
    'no type': table({ length: 2 }),
    'another type than the schema says': table(data({ type: { ...int, bitWidth: 64 }, values })),
    'a negative length': table(data({ length: -2, values })),
    'a length that is no number': table(data({ length: NaN, values })),
    'offsets that run backwards': table(data({ type: { typeId: 5 }, valueOffsets: Int32Array.of(2, 1, 0) }), {
      typeId: 5,
    }),
    'offsets of the wrong width': table(
      data({ type: { typeId: 20 }, valueOffsets: Int32Array.of(0, 1, 2) }),
      {
        typeId: 20,
      },
    ),
    'a list without values': table(data({ type: list, valueOffsets: Int32Array.of(0, 1, 2) }), list),
    'a list with too few values': table(
      data({ type: list, valueOffsets: Int32Array.of(0, 1, 9), children: [data({ values })] }),
      list,
    ),
    'a type without end': table(data({ type: circular }), circular),
    'a type of 40 levels': table(data({ type: deep(40) }), deep(40)),
    'a dictionary that is none': table(
      data({ type: dictionary, values, dictionary: { data: [5] } }),
      dictionary,
    ),
    'a getter that throws': table({
      get type() {
        throw new Error('boo');
      },
    }),
  })) {
    const error = refusal(input);
    assert.equal(error.code, 'INVALID_FRAME', what);
    assert.equal(error.column, 'bad', what);
  }
  const surrogate = table(data({ values }));
  surrogate.schema.fields[0].name = '\ud800';
  assert.equal(refusal(surrogate).code, 'INVALID_FRAME');
  const nulls = table(data({ values }));
  Object.assign(nulls.batches[0].data, { nullCount: 1, nullBitmap: Uint8Array.of(1) });
  assert.match(refusal(nulls).message, /null as a whole/);
});

test('types that are not stored are refused by name', () => {
  const union = flechette.union(0, [flechette.int32(), flechette.utf8()], [0, 1], (v) =>
    typeof v === 'string' ? 1 : 0,
  );
  const table = flechette.tableFromColumns({ u: flechette.columnFromArray([1, 'a'], union) });
  const error = refusal(table);
  assert.deepEqual([error.code, error.column], ['UNSUPPORTED_TYPE', 'u']);
  assert.match(error.message, /union/);
});

test('IPC bytes are copied, from whatever holds them', () => {
  const ipc = arrow.tableToIPC(all.get('apache batches'), 'file');
  const inside = new Uint8Array(ipc.length + 10);
  inside.set(ipc, 5);
  for (const input of [ipc, ipc.slice().buffer, Buffer.from(ipc), inside.subarray(5, 5 + ipc.length)]) {
    const { form, buffers } = packFrame(input);
    assert.equal(form, 'ipc');
    assert.deepEqual(Buffer.from(buffers[0]), Buffer.from(ipc));
    assert.equal(buffers[0].buffer.byteLength, ipc.length, 'nothing but the bytes is transferred');
    assert.notEqual(buffers[0].buffer, input.buffer ?? input);
  }
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  assert.ok(packFrame(shared).buffers[0].buffer instanceof ArrayBuffer);
});
