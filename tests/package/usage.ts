// Never run: what a TypeScript program may say, and what must not compile.
import { deleteDatabase, FramelockError, listDatabases, live, openDatabase } from 'framelock';
import type {
  AppendReceipt,
  Database,
  ErrorCode,
  EventDetail,
  ForwardOptions,
  LiveOptions,
  OpenOptions,
  Status,
} from 'framelock';
import { createFrameHandler, clickhouse, toNodeListener, type Authorize } from 'framelock/server';
import { faults, holdWriteLock, withTestDatabase, type FaultPlan } from 'framelock/testing';

const options: OpenOptions = { storage: 'opfs', retry: { attempts: 5 }, fallback: 'queue' };
const db: Database = await openDatabase('app', options);
const receipt: AppendReceipt = await db.appendFrame(
  't',
  { n: Int32Array.of(1) },
  { mode: 'upsert', key: ['n'] },
);
const path: 'direct' | 'handoff' | 'queued' | 'joined' | 'duplicate' = receipt.path;
const rows: { n: bigint }[] = await db.query<{ n: bigint }>('SELECT n FROM t WHERE n > :n', { n: 1n });
const total: number = await db.transaction(async (tx) => (await tx.exec('DELETE FROM t')).changes);
const status: Status = await db.status();
const names: string[] = await listDatabases();
const forward: ForwardOptions = { url: '/api', getToken: async ({ refresh }) => `${refresh}`, tables: ['t'] };
const { forwarding } = await (await openDatabase('f', { forward })).status();
const pending: number | undefined = forwarding?.pending;
db.on('forward', ({ what, reason, deadLetter }) => console.log(what, reason, deadLetter?.code, pending));
const off: () => void = db.on('commit', ({ tables, origin }) => console.log(tables.length, origin));
for await (const bytes of db.stream('SELECT * FROM t', [], { batchRows: 10 })) console.log(bytes.byteLength);

const { n }: { n: BigInt64Array } = await db.queryColumns<{ n: BigInt64Array }>('SELECT n FROM t');
const download = new Blob([await db.queryArrow('SELECT n FROM t')]);
// What may be given may be undefined, also with exactOptionalPropertyTypes.
const signal: AbortSignal | undefined = undefined;
await db.query('SELECT n FROM t', [], { signal, timeoutMs: undefined });
const told: EventDetail<'queue'> = { queued: n.length, rejected: download.size };

const liveOptions: LiveOptions = { onError: (error) => console.log(error) };
const stop: () => void = live<{ n: bigint }>(
  db,
  'SELECT n FROM t',
  [],
  ([row]) => console.log(row?.n),
  liveOptions,
);

const plan: FaultPlan = { files: { call: 'write', error: 'quota', after: 2, times: Infinity } };
const counted: number = await withTestDatabase(async (test, { open }) => {
  const release: () => Promise<void> = await holdWriteLock(test.name);
  const end = await faults(await open(), plan);
  await release();
  return (await end()).files;
});

try {
  await deleteDatabase('app');
} catch (error) {
  if (error instanceof FramelockError) {
    const code: ErrorCode = error.code;
    // @ts-expect-error there is no such code
    if (code === 'LOCKED') console.log(error.attempts?.[0]?.waitedMs);
  }
}

// @ts-expect-error an option that does not exist
await db.appendFrame('t', [], { retries: 3 });
// @ts-expect-error a mode that does not exist
await db.appendFrame('t', [], { mode: 'insert' });
// @ts-expect-error a value that cannot be bound
await db.query('SELECT ?', [{ n: 1 }]);
// @ts-expect-error an event that does not exist
db.on('change', () => {});
// @ts-expect-error frames are not text
await db.appendFrame('t', 'n');
// @ts-expect-error columns hold what `Column` says
await db.queryColumns<{ n: string }>('SELECT n FROM t');
// @ts-expect-error a name is needed
await openDatabase();
// @ts-expect-error the receipt is not to be written to the wrong type
const wrong: 'committed' = path;
// @ts-expect-error faults that do not exist
await faults(db, { disk: {} });

console.log(rows, total, status.versions.sqlite, names, off, stop, counted, wrong, told);

const authorize: Authorize = (request, { stream, table }) =>
  request.headers.has('Authorization') && table !== 'secret' ? { tenant: stream } : 'FORBIDDEN';
const handler = createFrameHandler({
  engine: clickhouse({ url: 'http://localhost:8123/' }),
  authorize,
  tables: { ticks: {}, trades: { into: 'raw', schema: 'addColumns' } },
  limits: { maxRows: 1000 },
});
const response: Response = await handler(new Request('http://x/'));
toNodeListener(handler);
// @ts-expect-error: a tenant is text
createFrameHandler({ engine: clickhouse({ url: 'x' }), authorize: () => ({ tenant: 1 }), tables: {} });
// @ts-expect-error: an engine is made by one of the three
createFrameHandler({ engine: {}, authorize, tables: {} });
console.log(response.status);
