// The handler and PostgreSQL end to end: what a sender is answered, and what stands in the table then.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createFrameHandler, postgres } from '../../dist/server/index.js';
import { ticks } from './frames.mjs';
import { Cluster } from './postgres.mjs';
import { authorize, digestOf, frameRequest, read, skipRequest, stateRequest } from './wire.mjs';

let cluster, handler, pool;
before(async () => {
  cluster = await Cluster.start({ fsync: 'off' });
  pool = cluster.pool();
  const tables = {
    ticks: {},
    strict: { schema: 'strict' },
    renamed: { into: 'Other "Name"', namespace: 'Sales' },
  };
  await pool.query('CREATE SCHEMA "Sales"');
  handler = createFrameHandler({ engine: postgres(pool), authorize, tables, schema: 'create' });
});
after(() => cluster?.stop());

const put = async (...args) => read(await handler(frameRequest(...args)));
const state = async (...args) => read(await handler(stateRequest(...args)));
const rowsOf = async (item, table = 'ticks') =>
  Number((await pool.query(`SELECT count(*) FROM ${table} WHERE item = $1`, [item])).rows[0].count);

test('a frame is written once, however often it is sent', async () => {
  const stream = randomUUID();
  assert.deepEqual(await state(stream), { status: 200, last_seq: 0, last_digest: null });
  const frame = ticks(1, 1001);
  const last = { last_seq: 1, last_digest: digestOf(frame) };
  assert.deepEqual(await put(stream, 1, 'ticks', frame), { status: 201, ...last, rows: 100 });
  assert.deepEqual(await put(stream, 1, 'ticks', frame), { status: 200, ...last, skipped: [], rows: 0 });
  assert.deepEqual(await put(stream, 1, 'ticks', frame, { gzip: true }), {
    ...{ status: 200, ...last, skipped: [], rows: 0 },
  });
  assert.deepEqual(await state(stream), { status: 200, ...last });
  assert.equal(await rowsOf(1001), 100);
});

test('gaps are answered with what is there, forks with STREAM_FORKED', async () => {
  const stream = randomUUID();
  const frames = [1, 2, 3, 4].map((seq) => ticks(2, 1100 + seq));
  const gap = await put(stream, 2, 'ticks', frames[1]);
  assert.deepEqual([gap.status, gap.code, gap.last_seq, gap.last_digest], [409, 'SEQ_GAP', 0, null]);
  assert.equal((await put(stream, 1, 'ticks', frames[0])).status, 201);
  const item = { headers: { 'Framelock-Item-Digest': digestOf(frames[2]) } };
  assert.equal((await put(stream, '2-3', 'ticks', ticks(2, 1150), item)).status, 201);
  assert.equal((await state(stream)).last_digest, digestOf(frames[2]));
  // Inside what was sent as one: known not to be new.
  assert.deepEqual((await put(stream, 2, 'ticks', frames[1])).status, 200);
  for (const [seq, frame] of [
    [1, frames[1]],
    [3, frames[3]],
  ]) {
    const fork = await put(stream, seq, 'ticks', frame);
    assert.deepEqual([fork.status, fork.code, fork.last_seq], [409, 'STREAM_FORKED', 3]);
  }
  // A range of which a part is there: the sender cuts anew.
  const part = await put(stream, '3-4', 'ticks', frames[3], {
    headers: { 'Framelock-Item-Digest': digestOf(frames[3]) },
  });
  assert.deepEqual([part.status, part.code, part.last_seq], [409, 'SEQ_GAP', 3]);
  assert.equal((await put(stream, 4, 'ticks', frames[3])).status, 201);
});

test('what was on its way all the time does not hide what is missing before it', async () => {
  const stream = randomUUID();
  const [first, second, third, foreign] = [1, 2, 3, 4].map((seq) => ticks(2, 1160 + seq));
  const follows = (frame) => ({ search: { after: digestOf(frame) } });
  assert.equal((await put(stream, 1, 'ticks', first)).status, 201);
  // A replica took over that never had item 2, and a copy of the database file put its own in that place.
  assert.equal((await put(stream, 2, 'ticks', foreign, follows(first))).status, 201);
  const late = await put(stream, 3, 'ticks', third, follows(second));
  assert.deepEqual(
    [late.status, late.code, late.last_seq, late.last_digest],
    [409, 'SEQ_GAP', 2, digestOf(foreign)],
  );
  assert.equal(await rowsOf(1163), 0);
  const skip = { digest: digestOf(third), code: 'CONSTRAINT' };
  const skipped = await read(await handler(skipRequest(stream, 3, 'ticks', skip, follows(second))));
  assert.deepEqual([skipped.status, skipped.code], [409, 'SEQ_GAP']);
  // A sender that does not say what comes before gets by, as it always did.
  assert.equal((await put(stream, 3, 'ticks', third)).status, 201);
});

test('twins at once: one writes, both are told so', async () => {
  for (let round = 0; round < 10; round++) {
    const stream = randomUUID();
    const frame = ticks(3, 1200 + round);
    const answers = await Promise.all(Array.from({ length: 6 }, () => put(stream, 1, 'ticks', frame)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 200, 200, 200, 201]);
    assert.equal(await rowsOf(1200 + round), 100);
  }
});

test('who asks since when, and who sends what is there, is told of the first skip after that', async () => {
  const stream = randomUUID();
  const frames = [1, 2, 3, 4].map((seq) => ticks(1, 1250 + seq));
  const since = (seq) => state(stream, { search: { since: seq } });
  assert.deepEqual(await since(0), { status: 200, last_seq: 0, last_digest: null });
  for (const [at, frame] of frames.entries()) {
    const skip = { digest: digestOf(frame), code: `CODE_${at + 1}` };
    if (at % 2 === 0) assert.equal((await put(stream, at + 1, 'ticks', frame)).status, 201);
    else assert.equal((await handler(skipRequest(stream, at + 1, 'ticks', skip))).status, 201);
  }
  const [two, four] = [2, 4].map((seq) => ({ seq, digest: digestOf(frames[seq - 1]), code: `CODE_${seq}` }));
  const told = async (answer) => (await answer).skipped;
  assert.deepEqual(await told(since(0)), [two]);
  assert.deepEqual(await told(since(1)), [two]);
  assert.deepEqual(await told(since(2)), [four]);
  assert.deepEqual(await told(since(4)), []);
  assert.equal(await told(state(stream)), undefined, 'nobody asked');
  const repeat = await put(stream, 2, 'ticks', frames[1]);
  assert.deepEqual([repeat.status, repeat.skipped], [200, [two]]);
  const gap = await put(stream, 6, 'ticks', frames[0]);
  assert.deepEqual([gap.code, gap.skipped], ['SEQ_GAP', []]);
  // Of what was cut off the log nobody can tell.
  await pool.query('DELETE FROM framelock_frames WHERE stream = $1 AND to_seq < 3', [stream]);
  assert.equal(await told(since(1)), undefined);
  assert.deepEqual(await told(since(2)), [four]);
  for (const bad of ['-1', 'x', '']) assert.equal((await since(bad)).code, 'BAD_REQUEST', bad);
});

test('an item that was rejected is skipped, and the log says so', async () => {
  const stream = randomUUID();
  const digest = digestOf('the item');
  const skip = async (body, seq = 1) => read(await handler(skipRequest(stream, seq, 'ticks', body)));
  assert.deepEqual(await skip({ digest, code: 'CONSTRAINT' }), {
    status: 201,
    last_seq: 1,
    last_digest: digest,
    rows: 0,
  });
  assert.equal((await skip({ digest, code: 'CONSTRAINT' })).status, 200);
  assert.equal((await skip({ digest: digestOf('other'), code: 'CONSTRAINT' })).code, 'STREAM_FORKED');
  for (const body of [{ digest }, { digest: 'x', code: 'A' }, { digest, code: 'a b' }, [], null, 1]) {
    assert.equal((await skip(body, 2)).code, 'BAD_REQUEST', JSON.stringify(body));
  }
  const { rows } = await pool.query('SELECT rows, skipped FROM framelock_frames WHERE stream = $1', [stream]);
  assert.deepEqual(rows, [{ rows: '0', skipped: 'CONSTRAINT' }]);
});

test('streams and tables are not for everybody', async () => {
  const stream = randomUUID();
  const frame = ticks(4, 1300);
  assert.equal((await put(stream, 1, 'ticks', frame)).status, 201);
  const refused = async (answer) => [(await answer).status, (await answer).code];
  assert.deepEqual(await refused(put(stream, 2, 'ticks', frame, { token: 'bob' })), [403, 'FORBIDDEN']);
  assert.deepEqual(await refused(state(stream, { token: 'bob' })), [403, 'FORBIDDEN']);
  assert.deepEqual(await refused(put(stream, 2, 'ticks', frame, { token: 'nobody' })), [403, 'FORBIDDEN']);
  assert.deepEqual(await refused(put(stream, 2, 'ticks', frame, { headers: { Authorization: null } })), [
    401,
    'UNAUTHENTICATED',
  ]);
  for (const table of ['framelock_streams', 'pg_class', 'constructor', '__proto__', 'Ticks', 'ticks"; --']) {
    assert.deepEqual(await refused(put(stream, 2, table, frame)), [403, 'FORBIDDEN'], table);
  }
  assert.equal((await state(stream)).last_seq, 1);
});

test('names go where the settings say, quoted', async () => {
  const stream = randomUUID();
  assert.equal((await put(stream, 1, 'renamed', ticks(5, 1400))).status, 201);
  assert.equal(await rowsOf(1400, '"Sales"."Other ""Name"""'), 100);
});

test('strict: what the table does not have is rejected, with the column', async () => {
  const stream = randomUUID();
  const frame = ticks(6, 1500);
  const missing = await put(stream, 1, 'strict', frame);
  assert.deepEqual([missing.status, missing.code, missing.reason], [422, 'REJECTED', 'SCHEMA_MISMATCH']);
  await pool.query('CREATE TABLE strict (writer int8, item int8, row numeric(9, 2), price float8)');
  const column = await put(stream, 1, 'strict', frame);
  assert.deepEqual([column.reason, column.column], ['SCHEMA_MISMATCH', 'note']);
  await pool.query('ALTER TABLE strict ADD note varchar(40) CHECK (length(note) < 20)');
  const check = await put(stream, 1, 'strict', frame);
  assert.deepEqual([check.status, check.reason], [422, 'CONSTRAINT']);
  assert.ok(!/INSERT|COPY|length/.test(check.detail ?? ''), 'no SQL');
  await pool.query('ALTER TABLE strict DROP CONSTRAINT strict_note_check');
  assert.equal((await put(stream, 1, 'strict', frame)).status, 201);
  assert.equal(await rowsOf(1500, 'strict'), 100);
});
