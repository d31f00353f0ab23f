// The traps between frames and PostgreSQL, each with its cure and, where the cure can be taken away from outside, with
// what happens without it: `hurt` wraps the pool and changes what the engine says to the server. The cures inside the
// encoder are tested where they are (src/copy/time.rs, tests/frame/copy.rs); here is what the server makes of it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { createFrameHandler, postgres } from '../../dist/server/index.js';
import { arrow, frameOf, ticks } from './frames.mjs';
import { Cluster } from './postgres.mjs';
import { authorize, frameRequest, read, stateRequest } from './wire.mjs';

let cluster, admin;
before(async () => {
  cluster = await Cluster.start({ fsync: 'off', deadlock_timeout: '50ms' });
  admin = cluster.pool();
});
after(() => cluster?.stop());

/** A handler on a pool. `tables` are names; what goes wrong on the server's side is in `errors`. */
function serve(pool, { tables, ...options }) {
  const errors = [];
  const handler = createFrameHandler({
    engine: postgres(pool),
    authorize,
    tables: Object.fromEntries(tables.map((name) => [name, {}])),
    onError: (error) => errors.push(error),
    limits: { maxConcurrentPerTenant: 16, applyTimeoutMs: 5000, ...options.limits },
    ...Object.fromEntries(Object.entries(options).filter(([name]) => name !== 'limits')),
  });
  const put = async (...args) => {
    const response = await handler(frameRequest(...args));
    return { ...(await read(response)), retryAfter: response.headers.get('Retry-After') };
  };
  return { put, errors };
}

/** A pool whose clients say something else: `change(text, values, query)` gives a result or undefined. */
function hurt(pool, change) {
  return {
    on: (event, listener) => pool.on(event, listener),
    connect(callback) {
      pool.connect((error, client) => {
        if (!client) return callback(error);
        const query = (...args) => client.query(...args);
        const wrapped = {
          on: (...args) => client.on(...args),
          removeListener: (...args) => client.removeListener(...args),
          release: (...args) => client.release(...args),
          query: (text, values) =>
            (typeof text === 'string' ? change(text, values, query) : undefined) ?? query(text, values),
        };
        callback(undefined, wrapped);
      });
    },
  };
}

const rowsOf = async (table) => Number((await admin.query(`SELECT count(*) FROM ${table}`)).rows[0].count);
const nothing = { command: '', rows: [] };

/** The statuses of `count` first frames of as many streams at once, for a table that is not there. */
async function allAtOnce(put, table, count) {
  const sent = Array.from({ length: count }, (_, i) => put(randomUUID(), 1, table, ticks(i, 1, 10)));
  return Promise.all(sent);
}

test('concurrent CREATE TABLE: under one lock; without it some fail, and none of them for good', async () => {
  const names = Array.from({ length: 8 }, (_, i) => `made_${i}`);
  const pool = cluster.pool({ max: 8 });
  const { put } = serve(pool, { tables: names, schema: 'create' });
  for (const name of names) {
    const answers = await allAtOnce(put, name, 8);
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array(8).fill(201),
      name,
    );
    assert.equal(await rowsOf(name), 80);
  }
  const others = names.map((name) => `un${name}`);
  const unlocked = hurt(cluster.pool({ max: 8 }), (text) =>
    text.includes('advisory') ? nothing : undefined,
  );
  const without = serve(unlocked, { tables: others, schema: 'create' });
  // So that what they make first is not the books.
  await without.put(randomUUID(), 1, others[0], ticks(0, 1, 10));
  const failed = [];
  for (const name of others) {
    const answers = await allAtOnce(without.put, name, 8);
    failed.push(...answers.filter(({ status }) => status !== 201));
  }
  assert.ok(failed.length > 0, 'the trap is real');
  assert.deepEqual([...new Set(failed.map(({ status }) => status))], [503]);
});

/** The bytes of a COPY of one value. */
function copyOf(value) {
  const length = Buffer.alloc(4);
  length.writeInt32BE(value.length);
  const parts = ['PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', '\0\x01', length, value, '\xff\xff'];
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
}

/** COPY of bytes, with nothing of framelock in between. */
async function rawCopy(text, bytes) {
  const client = new pg.Client(cluster.config());
  await client.connect();
  try {
    await new Promise((resolve, reject) => {
      client.query({
        submit: (connection) => connection.query(text),
        handleCopyInResponse(connection) {
          connection.sendCopyFromChunk(bytes);
          connection.endCopyFrom();
        },
        handleError: reject,
        handleReadyForQuery: resolve,
        handleCommandComplete() {},
      });
    });
  } finally {
    await client.end();
  }
}

test('a timestamp out of range: a naive encoder stores another moment, ours refuses it', async () => {
  await admin.query('CREATE TABLE moments (at timestamp)');
  // The least int64 microseconds that wrap into PostgreSQL's range when 1970 becomes 2000.
  const moment = -(2n ** 63n) + 1_000_000n;
  const naive = Buffer.alloc(8);
  naive.writeBigInt64BE(BigInt.asIntN(64, moment - 946_684_800_000_000n));
  await rawCopy('COPY moments (at) FROM STDIN (FORMAT binary)', copyOf(naive));
  // It was 290308 BC.
  assert.deepEqual((await admin.query('SELECT extract(year FROM at)::int AS year FROM moments')).rows, [
    { year: 294247 },
  ]);
  const { put } = serve(cluster.pool(), { tables: ['moments'] });
  const type = new arrow.TimestampMicrosecond();
  const data = arrow.makeData({ type, length: 1, data: BigInt64Array.of(moment) });
  const frame = arrow.tableToIPC(new arrow.Table({ at: new arrow.Vector([data]) }), 'stream');
  const answer = await put(randomUUID(), 1, 'moments', frame);
  assert.deepEqual(
    [answer.status, answer.reason, answer.column, answer.row],
    [422, 'VALUE_OUT_OF_RANGE', 'at', 0],
  );
  assert.equal(await rowsOf('moments'), 1);
});

test('U+0000: PostgreSQL refuses it, and we do before, naming the row', async () => {
  await admin.query('CREATE TABLE notes (note text, more jsonb)');
  const bytes = copyOf(Buffer.from('a\0b'));
  await assert.rejects(rawCopy('COPY notes (note) FROM STDIN (FORMAT binary)', bytes), { code: '22021' });
  const { put } = serve(cluster.pool(), { tables: ['notes'] });
  const frame = frameOf({ note: [new arrow.Utf8(), ['fine', 'a\0b']] });
  const answer = await put(randomUUID(), 1, 'notes', frame);
  assert.deepEqual(
    [answer.status, answer.reason, answer.column, answer.row],
    [422, 'NUL_IN_TEXT', 'note', 1],
  );
  const nested = new arrow.Struct([new arrow.Field('a', new arrow.Utf8(), true)]);
  const deep = await put(
    randomUUID(),
    1,
    'notes',
    frameOf({ more: [nested, [{ a: '\\u0000' }, { a: '\0' }]] }),
  );
  assert.deepEqual([deep.reason, deep.row], ['NUL_IN_TEXT', 1]);
  assert.equal(await rowsOf('notes'), 0);
});

test('row-level security: COPY is refused, so rows are staged; what a policy refuses is a constraint', async () => {
  await admin.query(`CREATE ROLE forwarder LOGIN;
    GRANT CREATE ON SCHEMA public TO forwarder;
    CREATE TABLE guarded (writer int, item int, row int, price float8, note text, tenant text);
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON guarded USING (tenant = current_setting('framelock.tenant'))
      WITH CHECK (tenant = current_setting('framelock.tenant') AND item < 100);
    GRANT INSERT ON guarded TO forwarder;
    GRANT ALL ON ALL TABLES IN SCHEMA public TO forwarder;`);
  const constants = (request) => ({
    tenant: authorize(request).tenant,
    constants: { tenant: authorize(request).tenant },
  });
  const pool = cluster.pool({ user: 'forwarder' });
  const { put } = serve(pool, { tables: ['guarded'], authorize: constants });
  assert.equal((await put(randomUUID(), 1, 'guarded', ticks(1, 1))).status, 201);
  const refused = await put(randomUUID(), 1, 'guarded', ticks(1, 100));
  assert.deepEqual([refused.status, refused.reason], [422, 'CONSTRAINT']);
  assert.deepEqual((await admin.query('SELECT tenant, count(*)::int FROM guarded GROUP BY 1')).rows, [
    { tenant: 'alice', count: 100 },
  ]);
  // Without the stage.
  const blind = hurt(pool, (text, values, query) =>
    text.includes('row_security_active')
      ? query(text.replace('row_security_active(c.oid)', 'false'), values)
      : undefined,
  );
  const without = serve(blind, { tables: ['guarded'], authorize: constants });
  assert.equal((await without.put(randomUUID(), 1, 'guarded', ticks(1, 2))).status, 503);
  assert.equal(without.errors[0].code, '0A000');
});

test('views: rows go by INSERT, which they take; by COPY where a trigger takes them', async () => {
  await admin.query(`CREATE TABLE base (n int, hidden text DEFAULT 'x');
    CREATE VIEW small AS SELECT n FROM base WHERE n < 100 WITH CHECK OPTION;
    CREATE VIEW taken AS SELECT DISTINCT n FROM base;
    CREATE VIEW closed AS SELECT DISTINCT n FROM base;
    CREATE MATERIALIZED VIEW kept AS SELECT n FROM base;
    CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO base VALUES (new.n, 'taken'); RETURN new; END $$;
    CREATE TRIGGER take INSTEAD OF INSERT ON taken FOR EACH ROW EXECUTE FUNCTION take();`);
  const { put, errors } = serve(cluster.pool(), { tables: ['small', 'taken', 'closed', 'kept'] });
  const rows = (...values) => frameOf({ n: [new arrow.Int32(), values] });
  assert.equal((await put(randomUUID(), 1, 'small', rows(1, 2))).status, 201, String(errors[0]));
  assert.equal((await put(randomUUID(), 1, 'taken', rows(3))).status, 201, String(errors[0]));
  const beyond = await put(randomUUID(), 1, 'small', rows(100));
  assert.deepEqual([beyond.status, beyond.reason], [422, 'CONSTRAINT']);
  // The operator's mistake, and no reason to put rows aside.
  for (const name of ['closed', 'kept']) {
    assert.equal((await put(randomUUID(), 1, name, rows(4))).status, 503);
    assert.match(errors.pop().message, /cannot (insert into|copy to)/);
  }
  const { rows: found } = await admin.query('SELECT n, hidden FROM base ORDER BY n');
  assert.deepEqual(
    found.map(({ n, hidden }) => `${n} ${hidden}`),
    ['1 x', '2 x', '3 taken'],
  );
});

test('a row without a partition is a rejection, until there is one for the rest', async () => {
  await admin.query(`CREATE TABLE parts (n int) PARTITION BY RANGE (n);
    CREATE TABLE parts_few PARTITION OF parts FOR VALUES FROM (0) TO (10);`);
  const { put } = serve(cluster.pool(), { tables: ['parts'] });
  const rows = frameOf({ n: [new arrow.Int32(), [1, 10]] });
  const refused = await put(randomUUID(), 1, 'parts', rows);
  assert.deepEqual([refused.status, refused.reason], [422, 'CONSTRAINT']);
  await admin.query('CREATE TABLE parts_rest PARTITION OF parts DEFAULT');
  assert.equal((await put(randomUUID(), 1, 'parts', rows)).status, 201);
});

test('books that were dropped while a server ran are made anew', async () => {
  const errors = [];
  const handler = createFrameHandler({
    engine: postgres(cluster.pool(), { namespace: 'dropped' }),
    authorize,
    tables: { after: {} },
    schema: 'create',
    onError: (error) => errors.push(error),
  });
  const statuses = [];
  for (let i = 0; i < 3; i++) {
    statuses.push((await handler(frameRequest(randomUUID(), 1, 'after', ticks(1, 1, 10)))).status);
    if (i === 0) await admin.query('DROP TABLE dropped.framelock_streams, dropped.framelock_frames');
  }
  assert.deepEqual([statuses, errors.map(({ code }) => code)], [[201, 503, 201], ['42P01']]);
});

test('books in a schema that is there: no right to make schemas is needed', async () => {
  const namespace = 'its; "own"';
  await admin.query('CREATE SCHEMA "its; ""own"""; CREATE ROLE keeper LOGIN');
  await admin.query('GRANT USAGE, CREATE ON SCHEMA "its; ""own""" TO keeper');
  await admin.query('CREATE TABLE shelved (writer int, item int, row int, price float8, note text)');
  await admin.query('GRANT INSERT ON shelved TO keeper');
  const handler = createFrameHandler({
    engine: postgres(cluster.pool({ user: 'keeper' }), { namespace }),
    authorize,
    tables: { shelved: {} },
  });
  const answer = await read(await handler(frameRequest(randomUUID(), 1, 'shelved', ticks(1, 1, 10))));
  assert.deepEqual([answer.status, answer.rows], [201, 10]);
});

test('a database of another encoding: letters that it lacks are a rejection, in names too', async () => {
  await admin.query("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
  const { put } = serve(cluster.pool({ database: 'latin' }), { tables: ['t'], schema: 'create' });
  const text = (name, value) => frameOf({ [name]: [new arrow.Utf8(), [value]] });
  assert.equal((await put(randomUUID(), 1, 't', text('ä', 'ü'))).status, 201);
  for (const [frame, reason] of [
    [text('€', 'x'), 'INVALID_NAME'],
    [text('ä', '€'), 'VALUE_OUT_OF_RANGE'],
  ]) {
    const answer = await put(randomUUID(), 1, 't', frame);
    assert.deepEqual([answer.status, answer.reason], [422, reason]);
  }
});

test('names of more than 63 bytes: PostgreSQL cuts them and makes two columns one, we refuse them', async () => {
  const long = 'a_very_long_name_that_says_everything_there_is_to_say_about_it_';
  assert.equal(long.length, 63);
  await admin.query(`CREATE TABLE cut ("${long}1" int)`);
  const { rows } = await admin.query(
    "SELECT attname FROM pg_attribute WHERE attrelid = 'cut'::regclass AND attnum > 0",
  );
  assert.equal(rows[0].attname, long);
  const { put } = serve(cluster.pool(), { tables: ['names', `${long}1`], schema: 'create' });
  const column = await put(randomUUID(), 1, 'names', frameOf({ [`${long}1`]: [new arrow.Int32(), [1]] }));
  assert.deepEqual([column.status, column.reason], [422, 'INVALID_NAME']);
  const table = await put(randomUUID(), 1, `${long}1`, ticks(1, 1));
  assert.deepEqual([table.status, table.reason], [422, 'INVALID_NAME']);
});

test('what the database refuses for good is a rejection, and is not tried for ever', async () => {
  const [int, text] = [new arrow.Int32(), new arrow.Utf8()];
  const noise = Array.from({ length: 9000 }, (_, i) => ((i * 7919) % 36).toString(36) + (i % 97)).join('');
  const wide = Array.from({ length: 1600 }, (_, i) => [`c${i}`, [new arrow.Float64(), [i]]]);
  await admin.query(`CREATE TABLE keys (id text PRIMARY KEY);
    ALTER TABLE keys ALTER id SET STORAGE EXTERNAL;
    CREATE TABLE deep (j jsonb);
    CREATE TABLE parents (id int PRIMARY KEY);
    CREATE TABLE children (id int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE raised (n int);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = CASE new.n WHEN 1 THEN 'APP01' ELSE '40001' END; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON raised FOR EACH ROW EXECUTE FUNCTION refuse();
    CREATE TABLE late (n int);
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION refuse();
    CREATE TABLE dropped (n int)`);
  const many = (verb, i, type) => Array.from({ length: 530 }, (_, k) => `${verb} c${i}_${k} ${type}`).join();
  for (const i of [1, 2, 3]) {
    await admin.query(`ALTER TABLE dropped ${many('ADD', i, 'int')}`);
    await admin.query(`ALTER TABLE dropped ${many('DROP', i, '')}`);
  }
  const more = Array.from({ length: 20 }, (_, i) => [`x${i}`, [int, [1]]]);
  const zone = new arrow.TimestampMillisecond('UTC\0');
  const struct = new arrow.Struct([new arrow.Field('a\0b', int, true)]);
  const tables = ['keys', 'deep', 'wide', 'children', 'raised', 'late', 'dropped', 'system', 'zoned'];
  const { put, errors } = serve(cluster.pool(), { tables, schema: 'create' });
  for (const [table, columns, reason] of [
    ['keys', { id: [text, [noise]] }, 'VALUE_OUT_OF_RANGE'],
    ['deep', { j: [text, ['['.repeat(20_000) + ']'.repeat(20_000)]] }, 'VALUE_OUT_OF_RANGE'],
    ['wide', Object.fromEntries(wide), 'VALUE_OUT_OF_RANGE'],
    ['children', { id: [int, [7]] }, 'CONSTRAINT'],
    ['raised', { n: [int, [1]] }, 'CONSTRAINT'],
    ['late', { n: [int, [1]] }, 'CONSTRAINT'],
    ['dropped', Object.fromEntries([['n', [int, [1]]], ...more]), 'SCHEMA_MISMATCH'],
    ...['xmin', 'xmax', 'cmin', 'cmax', 'ctid', 'tableoid'].map((name) => [
      'system',
      { [name]: [int, [1]] },
      'INVALID_NAME',
    ]),
    ['zoned', { at: [zone, [new Date()]] }, 'NUL_IN_TEXT'],
    ['zoned', { s: [struct, [{ 'a\0b': 1 }]] }, 'NUL_IN_TEXT'],
  ]) {
    const answer = await put(randomUUID(), 1, table, frameOf(columns));
    const said = `${table} ${JSON.stringify(answer)} ${errors.splice(0).map(String)}`;
    assert.deepEqual([answer.status, answer.reason], [422, reason], said);
  }
  // Nothing was made for what was refused.
  const made = "SELECT to_regclass('system') AS system, to_regclass('zoned') AS zoned";
  assert.deepEqual((await admin.query(made)).rows, [{ system: null, zoned: null }]);
  // A trigger that asks for another try.
  for (const table of ['raised', 'late']) {
    assert.equal((await put(randomUUID(), 1, table, frameOf({ n: [int, [2]] }))).status, 503, table);
  }
});

test("a constant that does not fit is the operator's mistake, and the rows stay where they are", async () => {
  await admin.query(`CREATE TABLE constants (n int, org int, name varchar(3) NOT NULL DEFAULT 'x');
    CREATE TABLE lacking (n int)`);
  const rejections = [];
  const onReject = (rejection, about) => rejections.push([rejection, about]);
  const frame = () => frameOf({ n: [new arrow.Int32(), [1]] });
  const answer = async (table, constants, bytes = frame()) => {
    const options = { tables: [table], authorize: () => ({ tenant: 'a', constants }), onReject };
    const { put, errors } = serve(cluster.pool(), options);
    const { status, code } = await put(randomUUID(), 1, table, bytes);
    return [status, code, errors.map(({ message }) => message).join()];
  };
  for (const [table, constants, said] of [
    ['constants', { org: '42' }, /the constant org does not fit: SCHEMA_MISMATCH/],
    ['constants', { org: 2 ** 40 }, /the constant org does not fit: VALUE_OUT_OF_RANGE/],
    ['constants', { name: 'long' }, /the constant name does not fit: VALUE_OUT_OF_RANGE/],
    ['constants', { name: 'a\0' }, /the constant name does not fit: NUL_IN_TEXT/],
    ['constants', { name: null }, /the constant name does not fit: CONSTRAINT/],
    ['constants', { xmin: 1 }, /the constant xmin does not fit: INVALID_NAME/],
    ['lacking', { org: 'acme' }, /the constant org does not fit: SCHEMA_MISMATCH/],
  ]) {
    const [status, code, errors] = await answer(table, constants);
    assert.deepEqual([status, code], [500, 'INTERNAL'], errors);
    assert.match(errors, said);
  }
  assert.deepEqual(rejections, []);
  // What is the sender's stays a rejection, of which the operator hears too: a forged column, a value.
  const forged = frameOf({ n: [new arrow.Int32(), [1]], org: [new arrow.Int32(), [7]] });
  assert.deepEqual(await answer('constants', { org: 42 }, forged), [422, 'REJECTED', '']);
  const large = frameOf({ n: [new arrow.Int64(), [2n ** 40n]] });
  assert.deepEqual(await answer('constants', { org: 42 }, large), [422, 'REJECTED', '']);
  await admin.query('ALTER TABLE constants ADD CHECK (n > 1)');
  assert.deepEqual(await answer('constants', { org: 42 }), [422, 'REJECTED', '']);
  const heard = rejections.map(([{ reason, column, row, cause }]) => [reason, column, row, cause?.code]);
  assert.deepEqual(heard, [
    ['SCHEMA_MISMATCH', 'org', undefined, undefined],
    ['VALUE_OUT_OF_RANGE', 'n', 0, undefined],
    ['CONSTRAINT', undefined, undefined, '23514'],
  ]);
  assert.equal(rejections[0][1].table, 'constants');
  assert.equal(await rowsOf('constants'), 0);
});

test('an identity column takes its value by way of the stage too', async () => {
  await admin.query(`CREATE ROLE identified LOGIN; GRANT CREATE ON SCHEMA public TO identified;
    CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY, n int);
    ALTER TABLE numbered ENABLE ROW LEVEL SECURITY;
    CREATE POLICY all_rows ON numbered USING (true) WITH CHECK (true);
    GRANT INSERT ON numbered TO identified;
    GRANT ALL ON framelock_streams, framelock_frames TO identified`);
  const { put, errors } = serve(cluster.pool({ user: 'identified' }), { tables: ['numbered'] });
  const frame = frameOf({ id: [new arrow.Int64(), [5n]], n: [new arrow.Int32(), [1]] });
  const answer = await put(randomUUID(), 1, 'numbered', frame);
  assert.equal(answer.status, 201, errors.map(String).join());
  assert.deepEqual((await admin.query('SELECT id, n FROM numbered')).rows, [{ id: '5', n: 1 }]);
});

test('what another try may cure is 503 with Retry-After: locks, standbys, restarts, too many connections', async () => {
  await admin.query(
    'CREATE TABLE waits AS SELECT 0 AS writer, 0 AS item, 0 AS row, 0::float8 AS price, NULL AS note',
  );
  const again = async (pool, code, options = {}) => {
    const { put, errors } = serve(pool, { tables: ['waits'], ...options });
    const answer = await put(randomUUID(), 1, 'waits', ticks(1, 1));
    assert.deepEqual([answer.status, answer.code], [503, 'UNAVAILABLE'], code);
    assert.ok(Number(answer.retryAfter) >= 1, `Retry-After: ${answer.retryAfter}`);
    // Whoever is thrown out may or may not be told why.
    const { code: said = '57P01', message } = errors.at(-1);
    assert.equal(said, code, message);
  };
  const holder = new pg.Client(cluster.config());
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE waits');
  const quick = hurt(cluster.pool(), (text, values, query) =>
    text.startsWith('BEGIN') ? query(`${text}; SET LOCAL lock_timeout = 200`) : undefined,
  );
  await again(quick, '55P03');
  const doomed = cluster.pool({ application_name: 'doomed' });
  const killed = hurt(doomed, async (text, values, query) => {
    if (text.startsWith('WITH moved')) {
      await admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'doomed'",
      );
    }
    return query(text, values);
  });
  await holder.query('ROLLBACK');
  await holder.end();
  await again(killed, '57P01');
  await again(cluster.pool({ options: '-c default_transaction_read_only=on' }), '25006');
  const slow = hurt(cluster.pool(), (text, values, query) =>
    text.startsWith('BEGIN')
      ? query(`${text}; SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)`)
      : undefined,
  );
  await again(slow, '57014');
  await admin.query('CREATE ROLE few LOGIN CONNECTION LIMIT 0');
  await again(cluster.pool({ user: 'few' }), '53300');
  // A missing GRANT is the operator's to mend; the rows stay where they are.
  await admin.query('CREATE ROLE bare LOGIN; GRANT ALL ON framelock_streams, framelock_frames TO bare');
  await again(cluster.pool({ user: 'bare' }), '42501');
});

test('a server that may only be read is not asked how far a stream is: it may be a standby that lags', async () => {
  const stream = randomUUID();
  const { put } = serve(cluster.pool(), { tables: ['reads'], schema: 'create' });
  assert.equal((await put(stream, 1, 'reads', ticks(1, 1, 1))).status, 201);
  const errors = [];
  const state = async (options) => {
    const engine = postgres(cluster.pool(options));
    const onError = (error) => errors.push(error.message);
    const handler = createFrameHandler({ engine, authorize, tables: { reads: {} }, onError });
    return read(await handler(stateRequest(stream)));
  };
  assert.equal((await state()).last_seq, 1);
  const standby = await state({ options: '-c default_transaction_read_only=on' });
  assert.deepEqual([standby.status, standby.code], [503, 'UNAVAILABLE']);
  assert.deepEqual(errors, ['the database is read-only']);
});

test('an ALTER TABLE that waits for a reader lets everybody else go on soon', async () => {
  await admin.query('CREATE TABLE busy (n int)');
  const { put, errors } = serve(cluster.pool(), {
    tables: ['busy'],
    schema: 'addColumns',
    limits: { applyTimeoutMs: 20_000 },
  });
  const holder = new pg.Client(cluster.config());
  await holder.connect();
  await holder.query('BEGIN; SELECT * FROM busy');
  const start = performance.now();
  const wider = frameOf({ n: [new arrow.Int32(), [1]], more: [new arrow.Int32(), [1]] });
  const altering = put(randomUUID(), 1, 'busy', wider);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const other = await put(randomUUID(), 1, 'busy', frameOf({ n: [new arrow.Int32(), [1]] }));
  assert.equal(other.status, 201);
  assert.deepEqual([(await altering).status, errors[0].code], [503, '55P03']);
  assert.ok(performance.now() - start < 6000, `${performance.now() - start} ms`);
  await holder.query('ROLLBACK');
  await holder.end();
  assert.equal((await put(randomUUID(), 1, 'busy', wider)).status, 201);
});

test('a deadlock is 503, and one of the two is written', async () => {
  await admin.query('CREATE TABLE uniques (id int PRIMARY KEY)');
  const ids = (list) => frameOf({ id: [new arrow.Int32(), list] });
  const { put } = serve(cluster.pool(), { tables: ['uniques'] });
  const again = async (list) => {
    const stream = randomUUID();
    for (;;) {
      const answer = await put(stream, 1, 'uniques', ids(list));
      if (answer.status !== 503) return answer.status;
    }
  };
  const up = Array.from({ length: 3000 }, (_, i) => i);
  const statuses = await Promise.all([again(up), again([...up].reverse())]);
  assert.deepEqual(statuses.sort(), [201, 422]);
  assert.equal(await rowsOf('uniques'), 3000);
});

test('after a failed COPY the connection is not used again', async () => {
  await admin.query('CREATE TABLE numbers (n int CHECK (n < 1000))');
  const pool = cluster.pool({ max: 1 });
  const { put } = serve(pool, { tables: ['numbers'] });
  const pid = async () => (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
  const stream = randomUUID();
  const before = await pid();
  // Refused before COPY begins: the connection is good.
  const early = await put(stream, 1, 'numbers', frameOf({ n: [new arrow.Int64(), [2n ** 40n]] }));
  assert.deepEqual([early.reason, await pid()], ['VALUE_OUT_OF_RANGE', before]);
  const late = await put(stream, 1, 'numbers', frameOf({ n: [new arrow.Int32(), [1, 5000]] }));
  assert.equal(late.reason, 'CONSTRAINT');
  assert.notEqual(await pid(), before);
  assert.equal((await put(stream, 1, 'numbers', frameOf({ n: [new arrow.Int32(), [1]] }))).status, 201);
  // A value that is met after the first piece has been sent.
  const many = Array.from({ length: 200_000 }, (_, i) => (i < 199_999 ? 1n : 2n ** 40n));
  const middle = await put(stream, 2, 'numbers', frameOf({ n: [new arrow.Int64(), many] }));
  assert.deepEqual([middle.reason, middle.row, await rowsOf('numbers')], ['VALUE_OUT_OF_RANGE', 199_999, 1]);
});

test('rows and record are one transaction: without it the rows of a failed request stay, and come twice', async () => {
  const failing = (alone) => {
    let failed = false;
    return hurt(cluster.pool({ max: 1 }), async (text, values, query) => {
      if (alone && text.startsWith('BEGIN')) return nothing;
      if (text.startsWith('WITH moved') && !failed) {
        failed = true;
        throw Object.assign(new Error('thrown out after COPY'), { code: '57P01' });
      }
      return query(text, values);
    });
  };
  for (const [table, alone, rows] of [
    ['whole', false, 10],
    ['halves', true, 20],
  ]) {
    const { put } = serve(failing(alone), { tables: [table], schema: 'create' });
    const stream = randomUUID();
    assert.equal((await put(stream, 1, table, ticks(1, 1, 10))).status, 503, table);
    assert.equal((await put(stream, 1, table, ticks(1, 1, 10))).status, 201, table);
    assert.equal(await rowsOf(table), rows, table);
  }
});

test('two frames with one seq at once: one is written, the other is a fork', async () => {
  const pool = cluster.pool();
  const { put } = serve(pool, { tables: ['forks'], schema: 'create' });
  await put(randomUUID(), 1, 'forks', ticks(0, 0, 1));
  for (let round = 0; round < 10; round++) {
    const stream = randomUUID();
    const answers = await Promise.all([1, 2, 3].map((i) => put(stream, 1, 'forks', ticks(round, i, 1))));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 409, 409]);
    assert.ok(answers.every(({ status, code }) => status === 201 || code === 'STREAM_FORKED'));
  }
});

test('a table that changes between the look and the COPY: nothing is written in the wrong type', async () => {
  await admin.query('CREATE TABLE shifts (n bigint)');
  const frame = () => frameOf({ n: [new arrow.Int64(), [4_611_686_018_427_387_904n]] });
  const change = (type) => `ALTER TABLE shifts ALTER n TYPE ${type} USING n::${type}`;
  // The same eight bytes are 2.0 to a column of doubles.
  let asked = 0;
  let said;
  const shifting = (blind) =>
    hurt(cluster.pool(), async (text, values, query) => {
      const result = await query(text, values);
      if (text.startsWith('SELECT (') && ++asked === 1) {
        said = result.rows[0].description;
        await admin.query(change('float8'));
      }
      if (blind && text.startsWith('WITH moved')) result.rows[0].description = said;
      return result;
    });
  const { put } = serve(shifting(false), { tables: ['shifts'] });
  const stream = randomUUID();
  assert.equal((await put(stream, 1, 'shifts', frame())).status, 503);
  assert.equal(await rowsOf('shifts'), 0);
  // What the sender does then: it sends again, and the exact value goes into the new column.
  assert.equal((await put(stream, 1, 'shifts', frame())).status, 201);
  assert.deepEqual((await admin.query('SELECT n FROM shifts')).rows, [{ n: 4_611_686_018_427_387_904 }]);
  // Without the second look.
  await admin.query(`TRUNCATE shifts; ${change('bigint')}`);
  asked = 0;
  const without = serve(shifting(true), { tables: ['shifts'] });
  assert.equal((await without.put(randomUUID(), 1, 'shifts', frame())).status, 201);
  assert.deepEqual((await admin.query('SELECT n FROM shifts')).rows, [{ n: 2 }]);
});

test('a database that does not answer: 503 in time, and the connection is given up', async () => {
  const pool = cluster.pool({ max: 1 });
  await admin.query('CREATE TABLE frozen (n int)');
  const holder = new pg.Client(cluster.config());
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE frozen');
  const patient = hurt(pool, (text, values, query) =>
    text.startsWith('BEGIN') ? query('BEGIN') : undefined,
  );
  const { put } = serve(patient, { tables: ['frozen'], limits: { applyTimeoutMs: 400 } });
  const frame = frameOf({ n: [new arrow.Int32(), [1]] });
  const start = performance.now();
  assert.equal((await put(randomUUID(), 1, 'frozen', frame)).status, 503);
  // A second one waits for the pool's only connection, while the first still has it on the server.
  assert.equal((await put(randomUUID(), 1, 'frozen', frame)).status, 503);
  assert.ok(performance.now() - start < 3000);
  await holder.query('ROLLBACK');
  await holder.end();
  assert.equal((await put(randomUUID(), 1, 'frozen', frame)).status, 201);
});
