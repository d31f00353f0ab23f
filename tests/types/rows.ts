// What must compile, and what must not. Nothing here runs: tsc reads it in `npm test -- lint`, and an `@ts-expect-error`
// above a line that compiles after all is an error too.
import {
  openDatabase,
  type AppendReceipt,
  type ArrowTypeName,
  type Database,
  type Transaction,
} from 'framelock';

interface Tick {
  sym: string;
  qty: bigint;
  price: number;
  open: boolean;
  at: Date;
  payload: Uint8Array | null;
  note?: string;
}

const whole = { sym: 'A', qty: 1n, price: 0.5, open: true, at: new Date() };

export async function rows(db: Database): Promise<void> {
  const receipt: AppendReceipt = await db.appendFrame<Tick>('ticks', [whole]);
  receipt.coerced satisfies Record<string, number>;
  await db.appendFrame<Tick>('ticks', [{ ...whole, qty: 1, at: 0, payload: new ArrayBuffer(1), note: 'x' }]);
  await db.appendFrame<Tick>('ticks', [{ ...whole, payload: null, note: undefined }]);
  await db.appendFrame<Tick>('ticks', []);
  // @ts-expect-error a missing column that is never null
  await db.appendFrame<Tick>('ticks', [{ sym: 'A', qty: 1n, price: 0.5, open: true }]);
  // @ts-expect-error a value of another kind
  await db.appendFrame<Tick>('ticks', [{ ...whole, sym: 5 }]);
  // @ts-expect-error text is not read as a number
  await db.appendFrame<Tick>('ticks', [{ ...whole, price: '0.5' }]);
  // @ts-expect-error null in a column that is never null
  await db.appendFrame<Tick>('ticks', [{ ...whole, qty: null }]);
  // @ts-expect-error a column that the row does not have
  await db.appendFrame<Tick>('ticks', [{ sym: 'A', qty: 1n, price: 1, open: true, at: 0, quantity: 1n }]);
}

export async function columns(db: Database | Transaction): Promise<void> {
  const one = { sym: ['A'], qty: BigInt64Array.of(1n), price: Float32Array.of(1), open: [true], at: [0] };
  await db.appendFrame<Tick>('ticks', one);
  await db.appendFrame<Tick>('ticks', { ...one, qty: [1, 2n], payload: [null, new Uint8Array()] });
  // @ts-expect-error a column of another kind
  await db.appendFrame<Tick>('ticks', { ...one, open: [1] });
  // @ts-expect-error a typed array of numbers for text
  await db.appendFrame<Tick>('ticks', { ...one, sym: Float64Array.of(1) });
  // @ts-expect-error text is no column of texts
  await db.appendFrame<Tick>('ticks', { ...one, sym: 'A' });
  // @ts-expect-error a missing column
  await db.appendFrame<Tick>('ticks', { sym: ['A'] });
}

export async function options(db: Database): Promise<void> {
  await db.appendFrame<Tick>('ticks', [whole], { key: ['sym'], types: { qty: 'int64' }, mode: 'upsert' });
  // @ts-expect-error a key that is no column
  await db.appendFrame<Tick>('ticks', [whole], { key: ['symbol'], mode: 'upsert' });
  // @ts-expect-error a type for what is no column
  await db.appendFrame<Tick>('ticks', [whole], { types: { quantity: 'int64' } });
  // @ts-expect-error a mode that does not exist
  await db.appendFrame('ticks', [whole], { mode: 'merge' });
  // @ts-expect-error an option that does not exist
  await db.appendFrame('ticks', [whole], { lossless: true });
}

export async function reads(db: Database): Promise<void> {
  const ticks = await db.query<Tick>('SELECT * FROM ticks WHERE qty > ?', [10n]);
  ticks[0]!.qty satisfies bigint;
  ticks[0]!.payload satisfies Uint8Array | null;
  // @ts-expect-error int64 columns are bigints
  ticks[0]!.qty satisfies number;
  // @ts-expect-error no such column
  ticks[0]!.quantity;
  const some = await db.query('SELECT 1 AS one');
  // @ts-expect-error a row of no stated type holds anything
  some[0]!.one satisfies number;
  // @ts-expect-error a statement's parameters are values
  await db.query('SELECT ?', [undefined]);
  // Rows that were read can be written again.
  await db.appendFrame<Tick>('more', ticks);
}

export async function untyped(
  db: Database,
  bytes: Uint8Array,
  table: { schema: { fields: [] }; numRows: number },
) {
  await db.appendFrame('t', bytes);
  await db.appendFrame<Tick>('t', bytes);
  await db.appendFrame<Tick>('t', bytes.buffer as ArrayBuffer);
  await db.appendFrame<Tick>('t', table);
  await db.appendFrame('t', table, { types: { anything: 'int8' }, key: ['any'] });
  await db.appendFrame('t', [{ anything: 1 }, {}]);
  await db.appendFrame('t', { anything: [1] });
  await db.appendFrame('t', { then: [1], when: Int8Array.of(1) });
  await db.appendFrame<{ then: string }>('t', { then: ['x'] });
  const columns: Record<string, unknown> = {};
  await db.appendFrame('t', columns);
  const later = fetch('/frame').then((response) => response.arrayBuffer());
  // @ts-expect-error a promise: await it
  await db.appendFrame('t', later);
  // @ts-expect-error a promise: await it
  await db.appendFrame('t', db.query('SELECT 1 AS one'));
  // @ts-expect-error a promise: await it
  await db.appendFrame<{ one?: number }>('t', db.query('SELECT 1 AS one'));
  // @ts-expect-error no frame at all
  await db.appendFrame('t', 'text');
  // @ts-expect-error no frame at all
  await db.appendFrame<Tick>('t', 5);
  // @ts-expect-error a storage that does not exist
  await openDatabase('t', { storage: 'disk' });
}

/** The type names that an editor proposes. */
type Proposed<Name = ArrowTypeName> = Name extends string ? (string extends Name ? never : Name) : never;

export async function typeNames(db: Database, types: Record<string, string>) {
  const proposed: Proposed[] = [
    'int64',
    'uint8',
    'float64',
    'timestamp[ms, UTC]',
    'timestamp[ns]',
    'iso8601',
  ];
  // @ts-expect-error no name of a type
  const misspelt: Proposed = 'int46';
  // Any other text may be one.
  await db.appendFrame('t', { a: [1] }, { types: { a: 'decimal128(38, 9)', b: proposed[0], c: misspelt } });
  await db.appendFrame('t', { a: [1] }, { types });
}
