// Tables of every type that apache-arrow and @uwdata/flechette can make, each as a table object
// and as the IPC bytes that the library itself writes of it.
import * as arrow from 'apache-arrow';
import * as flechette from '@uwdata/flechette';

const { Field, makeData, makeVector, RecordBatch, Schema, Table, vectorFromArray } = arrow;

const ROWS = 15;
const many = (n, value) => Array.from({ length: n }, (_, i) => value(i));

const pick = (object, names) => Object.fromEntries(names.map((name) => [name, object[name]]));

/** Every third value null. */
const gaps = (n, value) => many(n, (i) => (i % 3 === 2 ? null : value(i)));

const ints = {
  int8: (i) => i - 20,
  int16: (i) => i * 700 - 20_000,
  int32: (i) => i * 40_000_000 - 2 ** 30,
  uint8: (i) => i * 5,
  uint16: (i) => i * 1300,
  uint32: (i) => i * 80_000_000,
};
const longs = {
  int64: (i) => (BigInt(i) << 55n) - (1n << 59n),
  uint64: (i) => BigInt(i) << 57n,
};
const capital = (name) => name[0].toUpperCase() + name.slice(1);

/** The columns of apache-arrow, as vectors. */
function apacheColumns(n) {
  const of = (type, value) => vectorFromArray(gaps(n, value), type);
  const columns = {};
  for (const [name, value] of Object.entries({ ...ints, ...longs })) {
    columns[name] = of(new arrow[capital(name)](), value);
  }
  const field = (name, type, nullable = true) => new Field(name, type, nullable);
  const text = (i) => ['', 'a\0b', 'Zoë', '🦀'.repeat(i), 'plain'][i % 5];
  const bytes = (i) => new Uint8Array(i % 4).fill(i);
  const list = (i) => many(i % 4, (j) => i * j);
  const item = field('item', new arrow.Int32());
  const struct = new arrow.Struct([field('a', new arrow.Int32()), field('b', new arrow.Utf8())]);
  return {
    ...columns,
    // The builder makes float16 from numbers that it converts itself.
    int32_plain: vectorFromArray(many(n, ints.int32), new arrow.Int32()),
    float16: of(new arrow.Float16(), (i) => i / 4),
    float32: of(new arrow.Float32(), (i) => Math.fround(i / 3)),
    float64: of(new arrow.Float64(), (i) => [i / 3, NaN, -0, Infinity][i % 4]),
    bool: of(new arrow.Bool(), (i) => i % 2 === 0),
    bool_plain: vectorFromArray(
      many(n, (i) => i % 5 === 0),
      new arrow.Bool(),
    ),
    utf8: of(new arrow.Utf8(), text),
    large_utf8: of(new arrow.LargeUtf8(), text),
    binary: of(new arrow.Binary(), bytes),
    large_binary: of(new arrow.LargeBinary(), bytes),
    fixed_size_binary: of(new arrow.FixedSizeBinary(3), (i) => Uint8Array.of(i, 1, 2)),
    decimal: of(new arrow.Decimal(2, 20, 128), (i) => Uint32Array.of(i, 0, i, 0)),
    date_day: of(new arrow.DateDay(), (i) => new Date(i * 86_400_000)),
    date_millisecond: of(new arrow.DateMillisecond(), (i) => new Date(i * 86_400_000)),
    time_second: of(new arrow.TimeSecond(), (i) => i),
    time_nanosecond: of(new arrow.TimeNanosecond(), (i) => 45_296_000_000_001n + BigInt(i)),
    timestamp_second: of(new arrow.TimestampSecond('America/New_York'), (i) => i * 1000),
    timestamp_millisecond: of(new arrow.TimestampMillisecond(), (i) => i),
    timestamp_microsecond: of(new arrow.TimestampMicrosecond('+05:30'), (i) => i),
    duration_nanosecond: of(new arrow.DurationNanosecond(), (i) => BigInt(i) - 5n),
    interval_day_time: of(new arrow.IntervalDayTime(), (i) => Int32Array.of(i, -i)),
    interval_year_month: of(new arrow.IntervalYearMonth(), (i) => Int32Array.of(0, i)),
    interval_month_day_nano: of(new arrow.IntervalMonthDayNano(), (i) => Int32Array.of(i, -i, i, 0)),
    list: of(new arrow.List(item), list),
    list_of_text: of(new arrow.List(field('item', new arrow.Utf8())), (i) => many(i % 3, text)),
    list_of_bool: of(new arrow.List(field('item', new arrow.Bool())), (i) => many(i % 5, (j) => j % 2 === 0)),
    fixed_size_list: of(new arrow.FixedSizeList(2, item), (i) => [i, -i]),
    struct: of(struct, (i) => ({ a: i, b: text(i) })),
    list_of_struct: of(new arrow.List(field('item', struct)), (i) =>
      many(i % 3, (j) => ({ a: j, b: text(i) })),
    ),
    map: of(
      new arrow.Map_(
        field(
          'entries',
          new arrow.Struct([field('key', new arrow.Utf8(), false), item.clone({ name: 'value' })]),
          false,
        ),
      ),
      (i) => new Map(many(i % 3, (j) => [`k${j}`, i])),
    ),
    dictionary: of(new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8()), (i) => `v${i % 4}`),
    dictionary_by_default: vectorFromArray(gaps(n, (i) => `d${i % 7}`)),
    null: vectorFromArray(
      many(n, () => null),
      new arrow.Null(),
    ),
  };
}

/** A column of apache-arrow's large list, whose builder is new. */
function apacheLargeList(n) {
  const item = new Field('item', new arrow.Int32(), true);
  const offsets = BigInt64Array.from(many(n + 1, (i) => BigInt(i * 2)));
  const child = makeData({ type: new arrow.Int32(), data: Int32Array.from(many(n * 2, (i) => i)) });
  return makeVector(makeData({ type: new arrow.LargeList(item), length: n, valueOffsets: offsets, child }));
}

/** Views made by hand: short ones inline, long ones in a buffer. */
function apacheViews(n, type) {
  const encoder = new TextEncoder();
  const views = new Uint8Array(n * 16);
  const dataView = new DataView(views.buffer);
  const data = [];
  for (let i = 0; i < n; i++) {
    const bytes = encoder.encode('x'.repeat(i) + 'é');
    dataView.setInt32(i * 16, bytes.length, true);
    if (bytes.length <= 12) {
      views.set(bytes, i * 16 + 4);
    } else {
      views.set(bytes.subarray(0, 4), i * 16 + 4);
      dataView.setInt32(i * 16 + 8, 0, true);
      dataView.setInt32(i * 16 + 12, data.length, true);
      data.push(...bytes);
    }
  }
  return makeVector(makeData({ type, length: n, views, variadicBuffers: [Uint8Array.from(data)] }));
}

const apacheIpc = (table) => arrow.tableToIPC(table, 'stream');

function apacheTables() {
  const n = ROWS;
  const columns = apacheColumns(n);
  const all = new Table(columns);
  // apache-arrow writes a sliced null column with a null count of −1, which no reader takes.
  const { null: _, ...sliceable } = columns;
  const slice = (...names) => new Table(names.length > 0 ? pick(sliceable, names) : sliceable);
  const schema = new Schema(
    [
      new Field('id', new arrow.Int32(), false, new Map([['unit', 'm/s²']])),
      new Field('', new arrow.Utf8(), true, new Map()),
      new Field('__proto__', new arrow.Bool(), true),
    ],
    new Map([['origin', 'test']]),
  );
  const batch = (from, to) =>
    new RecordBatch(
      schema,
      makeData({
        type: new arrow.Struct(schema.fields),
        length: to - from,
        nullCount: 0,
        children: [
          vectorFromArray(
            many(to - from, (i) => i + from),
            new arrow.Int32(),
          ).data[0],
          vectorFromArray(
            gaps(to - from, (i) => `${i}`),
            new arrow.Utf8(),
          ).data[0],
          vectorFromArray(
            gaps(to - from, (i) => i % 2 > 0),
            new arrow.Bool(),
          ).data[0],
        ],
      }),
    );
  const batches = new Table(schema, [batch(0, 5), batch(5, 5), batch(5, 22)]);
  const views = new Table({
    t: apacheViews(20, new arrow.Utf8View()),
    b: apacheViews(20, new arrow.BinaryView()),
  });
  const tables = {
    all,
    all_from_ipc: arrow.tableFromIPC(apacheIpc(all)),
    sliced: slice().slice(10, 15),
    sliced_twice: slice(
      'int64',
      'bool',
      'utf8',
      'list_of_bool',
      'struct',
      'fixed_size_list',
      'map',
      'dictionary',
    )
      .slice(3, 15)
      .slice(7, 11),
    batches,
    batches_sliced: batches.slice(3, 15),
    record_batch: batches.batches[2],
    no_rows: new Table(schema, []),
    no_children: new Table(
      Object.fromEntries(schema.fields.map(({ name, type }) => [name, vectorFromArray([], type)])),
    ),
    large_list: new Table({ l: apacheLargeList(9) }),
    large_list_sliced: new Table({ l: apacheLargeList(9) }).slice(2, 6),
    views,
    from_arrays: arrow.tableFromArrays({
      i: Int32Array.of(1, 2, 3),
      b: BigInt64Array.of(1n, -1n, 0n),
      f: Float32Array.of(0.5, 1, 2),
      s: ['x', 'y', 'x'],
      m: [true, null, false],
    }),
    from_json: arrow.tableFromJSON([
      { a: 1, b: 'x' },
      { a: 2, b: null },
    ]),
    delta_dictionary: deltaDictionary(),
    aligned_batches: new Table({
      a: vectorFromArray([1, 2, 3, 4, 5], new arrow.Int32()),
      b: vectorFromArray(['a', 'b'], new arrow.Utf8()).concat(
        vectorFromArray(['c', 'd', 'e'], new arrow.Utf8()),
      ),
    }),
  };
  return Object.entries(tables).map(([name, table]) => {
    const ipc = table instanceof RecordBatch ? apacheIpc(new Table([table])) : apacheIpc(table);
    return { name: `apache ${name}`, table, ipc };
  });
}

/** Three batches whose dictionaries grow. */
function deltaDictionary() {
  const type = new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32(), 7);
  const builder = arrow.makeBuilder({ type, nullValues: [null] });
  const chunks = [];
  for (const values of [
    ['a', 'b', null],
    ['c', 'a'],
    ['d', 'd', 'b'],
  ]) {
    for (const value of values) builder.append(value);
    chunks.push(builder.toVector());
  }
  return new Table({ d: chunks[0].concat(chunks[1], chunks[2]) });
}

/** The columns of flechette: [type, values]. */
function flechetteColumns(n) {
  const f = flechette;
  const text = (i) => ['', 'a\0b', 'Zoë', '🦀'.repeat(i), 'plain'][i % 5];
  const bytes = (i) => new Uint8Array(i % 4).fill(i);
  const columns = {};
  for (const [name, value] of Object.entries({ ...ints, ...longs })) columns[name] = [f[name](), value];
  Object.assign(columns, {
    float16: [f.float16(), (i) => i / 4],
    float32: [f.float32(), (i) => Math.fround(i / 3)],
    float64: [f.float64(), (i) => [i / 3, NaN, -0, Infinity][i % 4]],
    bool: [f.bool(), (i) => i % 2 === 0],
    utf8: [f.utf8(), text],
    large_utf8: [f.largeUtf8(), text],
    binary: [f.binary(), bytes],
    large_binary: [f.largeBinary(), bytes],
    fixed_size_binary: [f.fixedSizeBinary(3), (i) => Uint8Array.of(i, 1, 2)],
    decimal32: [f.decimal32(9, 2), (i) => i],
    decimal64: [f.decimal64(18, 2), (i) => i],
    decimal128: [f.decimal128(38, 2), (i) => i - 5],
    decimal256: [f.decimal256(76, 2), (i) => i - 5],
    date_day: [f.dateDay(), (i) => new Date(i * 86_400_000)],
    date_millisecond: [f.dateMillisecond(), (i) => new Date(i * 86_400_000)],
    time_second: [f.timeSecond(), (i) => i],
    time_millisecond: [f.timeMillisecond(), (i) => i],
    time_microsecond: [f.timeMicrosecond(), (i) => i],
    time_nanosecond: [f.timeNanosecond(), (i) => i],
    timestamp_second: [f.timestamp(f.TimeUnit.SECOND, 'America/New_York'), (i) => i * 1000],
    timestamp_millisecond: [f.timestamp(f.TimeUnit.MILLISECOND), (i) => i],
    timestamp_nanosecond: [f.timestamp(f.TimeUnit.NANOSECOND, '+05:30'), (i) => i],
    duration: [f.duration(f.TimeUnit.MICROSECOND), (i) => i],
    interval_year_month: [f.interval(f.IntervalUnit.YEAR_MONTH), (i) => i],
    interval_day_time: [f.interval(f.IntervalUnit.DAY_TIME), (i) => [i, -i]],
    interval_month_day_nano: [
      f.interval(f.IntervalUnit.MONTH_DAY_NANO),
      (i) => Float64Array.of(i, -i, i * 1e9),
    ],
    list: [f.list(f.int32()), (i) => many(i % 4, (j) => i * j)],
    large_list: [f.largeList(f.utf8()), (i) => many(i % 4, text)],
    fixed_size_list: [f.fixedSizeList(f.int32(), 2), (i) => [i, -i]],
    struct: [f.struct({ a: f.int32(), b: f.utf8() }), (i) => ({ a: i, b: text(i) })],
    map: [f.map(f.utf8(), f.int32()), (i) => many(i % 3, (j) => [`k${j}`, i])],
    dictionary: [f.dictionary(f.utf8(), f.uint8()), (i) => `v${i % 4}`],
    list_of_dictionary: [f.list(f.dictionary(f.utf8(), f.int16())), (i) => many(i % 3, (j) => `v${j}`)],
    null: [f.nullType(), () => null],
  });
  return Object.fromEntries(
    Object.entries(columns).map(([name, [type, value]]) => [name, [type, gaps(n, value)]]),
  );
}

/** Without the columns that apache-arrow, in writing or reading, or flechette get wrong. */
function flechetteTables() {
  const f = flechette;
  const n = 12;
  const table = (columns, options) =>
    f.tableFromColumns(
      Object.entries(columns).map(([name, [type, values]]) => [
        name,
        f.columnFromArray(values, type, options),
      ]),
    );
  const columns = flechetteColumns(n);
  const all = table(columns);
  const bytes = f.tableToIPC(all, { format: 'stream' });
  const runs = f.runEndEncoded(f.field('run_ends', f.int32(), false), f.utf8());
  const tables = {
    all,
    all_from_ipc: f.tableFromIPC(bytes),
    all_with_options: f.tableFromIPC(bytes, {
      useBigInt: true,
      useDate: true,
      useDecimalInt: true,
      useMap: true,
      useProxy: true,
    }),
    batches: table(pick(columns, ['bool', 'utf8', 'list', 'dictionary', 'struct']), {
      maxBatchRows: 5,
    }),
    run_end_encoded: table({ r: [runs, ['a', 'a', 'b', null, null, 'c']] }),
    typed: f.tableFromArrays({
      i: Int32Array.of(1, 2),
      d: Float64Array.of(0, -0),
      u: BigUint64Array.of(0n, 2n ** 64n - 1n),
    }),
    inferred: f.tableFromArrays({
      s: ['a', 'b', null],
      n: [1, 2.5, null],
      t: [true, false, null],
      d: [new Date(0), null, null],
    }),
    trailing_nulls: table({
      i: [f.int64(), [1, ...many(9000, () => null)]],
      s: [f.utf8(), ['x', ...many(9000, () => null)]],
    }),
    no_rows: f.tableFromIPC(apacheIpc(new Table(new Schema([new Field('a', new arrow.Utf8(), true)]), []))),
    views: f.tableFromIPC(
      apacheIpc(
        new Table({ t: apacheViews(20, new arrow.Utf8View()), b: apacheViews(20, new arrow.BinaryView()) }),
      ),
    ),
  };
  return Object.entries(tables).map(([name, table]) => ({
    name: `flechette ${name}`,
    table,
    ipc: f.tableToIPC(table, { format: 'stream' }),
  }));
}

/** All of them: { name, table, ipc }. */
export const tables = () => [...apacheTables(), ...flechetteTables()];
