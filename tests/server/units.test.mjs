// The parts of the handler that need no database: addresses, decisions, digests, the gate, what a failure means.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { clickhouse, createFrameHandler, postgres } from '../../dist/server/index.js';
import { readBody } from '../../dist/server/body.js';
import { Gate } from '../../dist/server/gate.js';
import { parseRoute } from '../../dist/server/route.js';
import { decide } from '../../dist/server/sequence.js';
import { problemOf } from '../../dist/server/sqlstate.js';
import { arrow, frameOf } from './frames.mjs';
import { authorize, digestOf, engine, frameRequest, read, stateRequest } from './wire.mjs';

const STREAM = '00000000-0000-4000-8000-000000000001';
const at = (path) => new URL(`http://x/any/base${path}`);

test('ClickHouse: an exception in the middle of an answer is no empty stream', async () => {
  const asked = [];
  const fetch = async (address, { body }) => {
    asked.push(new URL(address).searchParams.get('wait_end_of_query'));
    const isLog = body.includes('max(to_seq)');
    return new Response(isLog ? 'Code: 241. DB::Exception: Memory limit exceeded\n' : '{"result":1}\n');
  };
  const engine = clickhouse({ url: 'http://x/', fetch });
  const { signal } = new AbortController();
  await assert.rejects(engine.state({ stream: STREAM, tenant: 't', since: null }, { signal }));
  assert.deepEqual(asked, ['1', '1']);
});

test('addresses: below any base, and nothing that is nearly one', () => {
  const frames = `/v1/streams/${STREAM}/frames`;
  assert.deepEqual(parseRoute(at(`${frames}/7?table=a%20b`), 'PUT'), {
    stream: STREAM,
    frames: { from: 7, to: 7, table: 'a b', skip: false, after: null },
    since: 6,
  });
  assert.deepEqual(parseRoute(at(`${frames}/7-9?table=t`), 'PUT').frames, {
    from: 7,
    to: 9,
    table: 't',
    skip: false,
    after: null,
  });
  const { frames: alone } = parseRoute(at(`${frames}/7-7?table=t`), 'PUT');
  assert.deepEqual([alone.from, alone.to], [7, 7]);
  const after = digestOf('the item before');
  const { frames: said } = parseRoute(at(`${frames}/7?table=t&after=${encodeURIComponent(after)}`), 'PUT');
  assert.equal(said.after, after);
  for (const [search, since] of [
    ['', null],
    ['?since=0', 0],
    ['?since=12', 12],
  ]) {
    const route = { stream: STREAM, frames: null, since };
    assert.deepEqual(parseRoute(at(`/v1/streams/${STREAM}${search}`), 'GET'), route);
  }
  const refused = (path, method = 'PUT') => {
    try {
      parseRoute(at(path), method);
    } catch (error) {
      return error.code;
    }
    return 'taken';
  };
  for (const seq of ['0', '-1', '01', '2-1', '1-', '1.5', '9007199254740993', 'x', '']) {
    assert.equal(refused(`${frames}/${seq}?table=t`), 'BAD_REQUEST', seq);
  }
  assert.equal(refused(`${frames}/1`), 'BAD_REQUEST');
  assert.equal(refused(`${frames}/1?table=a&table=b`), 'BAD_REQUEST');
  assert.equal(refused(`${frames}/1-2?table=a&skip=1`), 'BAD_REQUEST');
  // However long: the allow-list does not have it, for a frame and for its skip.
  const long = 'x'.repeat(5000);
  for (const skip of ['', '&skip=1']) assert.equal(refused(`${frames}/1?table=${long}${skip}`), 'taken');
  for (const digest of ['', 'x', 'sha-256=::']) {
    assert.equal(refused(`${frames}/2?table=a&after=${digest}`), 'BAD_REQUEST', digest);
  }
  assert.equal(
    refused(`/v1/streams/${STREAM.toUpperCase().replace('8', 'A')}/frames/1?table=a`),
    'BAD_REQUEST',
  );
  assert.equal(refused(`${frames}/1?table=t`, 'POST'), 'METHOD_NOT_ALLOWED');
  for (const path of ['/', '/v1/streams', `/v2/streams/${STREAM}`, `${frames}/1/2`]) {
    assert.equal(refused(path), 'NOT_FOUND', path);
  }
});

test('decisions', () => {
  const state = { lastSeq: 5, lastDigest: 'e' };
  const on = (from, to, digest, { recorded = null, after = null } = {}) =>
    decide(state, recorded, { from, to, digest, after });
  assert.equal(on(6, 6, 'f'), 'apply');
  assert.equal(on(6, 9, 'f'), 'apply');
  assert.equal(on(7, 7, 'f'), 'gap');
  assert.equal(on(5, 6, 'f'), 'gap');
  assert.equal(on(5, 5, 'e'), 'duplicate');
  assert.equal(on(5, 5, 'x'), 'forked');
  assert.equal(on(4, 4, 'd', { recorded: 'd' }), 'duplicate');
  assert.equal(on(4, 4, 'x', { recorded: 'd' }), 'forked');
  // Not in the log, or inside what was sent as one.
  assert.equal(on(4, 4, 'x'), 'duplicate');
  // What a sender says to come before.
  assert.equal(on(6, 6, 'f', { after: 'e' }), 'apply');
  assert.equal(on(6, 6, 'f', { after: 'x' }), 'gap');
  assert.equal(on(5, 5, 'e', { after: 'x' }), 'duplicate');
});

/** SQLSTATEs (and the server's routine, after a blank), and what each means in `books`, `schema`, `rows`, `commit`. */
const MEANINGS = [
  // Another try may do it, whatever is going on.
  ...['08006', '08P01', '40001', '40P01', '53100', '53300', '57014', '57P01', '57P03', '55P03', '25006'].map(
    (state) => [state, 'UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE'],
  ),
  // The operator's to mend, or nobody's.
  ...['42501', '42P01', '42703', '0A000', '22P03', '22P04', 'XX000', '58030', 'ECONNREFUSED', undefined].map(
    (state) => [state, 'UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE'],
  ),
  // The rows. In `schema` two CREATE TABLEs have collided in the catalogue.
  ...['22003', '22001', '22P02', '22007'].map((state) => [
    state,
    'UNAVAILABLE',
    'UNAVAILABLE',
    'VALUE_OUT_OF_RANGE',
    'VALUE_OUT_OF_RANGE',
  ]),
  ...['23505', '23502', '23514', '23503', '44000', 'P0001'].map((state) => [
    state,
    'UNAVAILABLE',
    'UNAVAILABLE',
    'CONSTRAINT',
    'CONSTRAINT',
  ]),
  ['42501 ExecWithCheckOptions', 'UNAVAILABLE', 'UNAVAILABLE', 'CONSTRAINT', 'CONSTRAINT'],
  // Too large for a page, an index, the stack.
  ['54000', 'UNAVAILABLE', 'UNAVAILABLE', 'VALUE_OUT_OF_RANGE', 'UNAVAILABLE'],
  ['54001', 'UNAVAILABLE', 'UNAVAILABLE', 'VALUE_OUT_OF_RANGE', 'UNAVAILABLE'],
  ['54011', 'UNAVAILABLE', 'SCHEMA_MISMATCH', 'VALUE_OUT_OF_RANGE', 'UNAVAILABLE'],
  // RAISE with a code of the application's own; one that asks for another try gets it.
  ['APP01 exec_stmt_raise', 'UNAVAILABLE', 'UNAVAILABLE', 'CONSTRAINT', 'CONSTRAINT'],
  ['42501 exec_stmt_raise', 'UNAVAILABLE', 'UNAVAILABLE', 'CONSTRAINT', 'CONSTRAINT'],
  ['23514 exec_stmt_raise', 'UNAVAILABLE', 'UNAVAILABLE', 'CONSTRAINT', 'CONSTRAINT'],
  ...['08000', '25006', '40001', '53400', '55P03', '57014'].map((state) => [
    `${state} exec_stmt_raise`,
    ...Array(4).fill('UNAVAILABLE'),
  ]),
];

test('what a failure means: only what is wrong with the rows is a rejection', () => {
  const meaning = (state, phase) => {
    const [code, routine] = state?.split(' ') ?? [];
    const problem = problemOf(Object.assign(new Error('x'), { code, routine }), phase);
    return problem.code === 'REJECTED' ? problem.details.reason : problem.retryAfter > 0 && problem.code;
  };
  for (const [state, ...wanted] of MEANINGS) {
    const found = ['books', 'schema', 'rows', 'commit'].map((phase) => meaning(state, phase));
    assert.deepEqual(found, wanted, state);
  }
});

test('the gate counts bodies on their way, requests at the database, and what comes in a second', async () => {
  let now = 0;
  const limits = { maxConcurrent: 1, maxConcurrentPerTenant: 2, requestsPerSecond: 4, maxDecodedBytes: 100 };
  const gate = new Gate(limits, () => now);
  const refused = (tenant) => {
    try {
      gate.enter(tenant).leave();
      return null;
    } catch ({ code, retryAfter }) {
      return [code, retryAfter > 0];
    }
  };
  const visits = [gate.enter('a'), gate.enter('a')];
  assert.deepEqual(refused('a'), ['RATE_LIMITED', true]);
  visits.push(gate.enter('b'), gate.enter('b'));
  // Four bodies for each that may be at the database.
  assert.deepEqual(refused('c'), ['UNAVAILABLE', true]);
  visits.forEach((visit) => (visit.leave(), visit.leave()));
  assert.equal(refused('a'), null);
  assert.equal(refused('a'), null);
  assert.deepEqual(refused('a'), ['RATE_LIMITED', true]);
  now += 250;
  assert.equal(refused('a'), null);
  assert.deepEqual(refused('a'), ['RATE_LIMITED', true]);
});

test('whose body is there waits for a turn at the database, and for memory', async () => {
  const limits = { maxConcurrent: 3, maxConcurrentPerTenant: 2, requestsPerSecond: 99, maxDecodedBytes: 100 };
  const gate = new Gate(limits);
  const order = [];
  const apply = async (name, tenant, bytes) => {
    const visit = gate.enter(tenant);
    await visit.apply(bytes);
    order.push(name);
    return visit;
  };
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const first = await apply('a1', 'a', 0);
  const second = await apply('a2', 'a', 0);
  const third = apply('a3', 'a', 0);
  await apply('b1', 'b', 0);
  const other = apply('c1', 'c', 0);
  await settled();
  assert.deepEqual(order, ['a1', 'a2', 'b1']);
  // Bodies that drip hold nobody up: they are counted apart.
  gate.enter('d');
  first.leave();
  (await third).leave();
  second.leave();
  (await other).leave();
  assert.deepEqual(order, ['a1', 'a2', 'b1', 'a3', 'c1']);
  const large = await apply('large', 'a', 60);
  const waiting = apply('waiting', 'a', 60);
  await settled();
  assert.equal(order.at(-1), 'large');
  // It has come to less than was feared.
  large.hold(10);
  (await waiting).leave();
  large.leave();
  // More than there is for all: alone.
  (await apply('larger than all', 'a', 1000)).leave();
});

test('before the engine is asked: types, codings, digests, frames', async () => {
  const handler = createFrameHandler({ engine, authorize, tables: { t: {} }, onError: () => undefined });
  const code = async (headers, bytes = Buffer.from('x'), options = {}) => {
    const answer = await read(await handler(frameRequest(STREAM, 1, 't', bytes, { headers, ...options })));
    return answer.reason ?? answer.code;
  };
  assert.equal(await code({ 'Content-Type': 'application/json' }), 'UNSUPPORTED_MEDIA');
  assert.equal(await code({ 'Content-Encoding': 'br' }), 'UNSUPPORTED_MEDIA');
  assert.equal(await code({ 'Content-Length': String(1 << 30) }), 'TOO_LARGE');
  const zipped = { 'Content-Encoding': 'gzip' };
  assert.equal(await code(zipped, Buffer.from('1f8b0800', 'hex')), 'DIGEST_MISMATCH');
  // A proxy that has inflated it and left the header: the digest says that it is what was sent.
  for (const text of ['x', 'xx', '\x1f'])
    assert.equal(await code(zipped, Buffer.from(text)), 'INVALID_FRAME');
  const digest = digestOf(Buffer.from('y'));
  assert.equal(await code({ ...zipped, 'Content-Digest': digest }), 'DIGEST_MISMATCH');
  assert.equal(await code({ 'Content-Digest': 'sha-512=:AAAA:' }), 'DIGEST_MISMATCH');
  assert.equal(await code({}), 'INVALID_FRAME');
  assert.equal(await code({}, Buffer.from('x'), { gzip: true }), 'INVALID_FRAME');
  assert.equal(await code({}, Buffer.alloc(0)), 'INVALID_FRAME');
});

test('gzip is known by its first bytes, however they come', async () => {
  const whole = gzipSync(Buffer.from('as it was'));
  for (const size of [1, 2, 7, whole.length]) {
    const parts = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
      whole.subarray(i * size, (i + 1) * size),
    );
    const headers = { 'Content-Encoding': 'gzip' };
    const body = ReadableStream.from(parts);
    const request = new Request('http://server/', { method: 'PUT', headers, body, duplex: 'half' });
    const read = await readBody(request, { maxBytes: 100, timeoutMs: 1000 });
    assert.equal(Buffer.from(read).toString(), 'as it was', String(size));
  }
});

test('an authorize that fails is not a refusal, and one that names no tenant is our mistake', async () => {
  const errors = [];
  const answer = async (authorize) => {
    const onError = (error) => errors.push(error.message);
    const handler = createFrameHandler({ engine, authorize, tables: { t: {} }, onError });
    return (await read(await handler(stateRequest(STREAM)))).code ?? 'taken';
  };
  const failing = async () => {
    throw new Error('the directory is down');
  };
  assert.equal(await answer(failing), 'UNAVAILABLE');
  for (const authorized of [
    {},
    { tenant: '' },
    { tenant: 5 },
    { tenant: undefined },
    new Response(null, { status: 302 }),
  ]) {
    assert.equal(await answer(() => authorized), 'INTERNAL');
  }
  for (const nobody of [
    null,
    undefined,
    false,
    true,
    'UNAUTHENTICATED',
    new Response(null, { status: 401 }),
  ]) {
    assert.equal(await answer(() => nobody), 'UNAUTHENTICATED');
  }
  for (const refusal of ['FORBIDDEN', Response.json({}, { status: 403 })]) {
    assert.equal(await answer(() => refusal), 'FORBIDDEN');
  }
  assert.equal(await answer(() => ({ tenant: 'a' })), 'taken');
  assert.equal(errors[0], 'the directory is down');
});

test('options that are none are told when the handler is made, and not to senders as refusals', async () => {
  const good = { engine, authorize, tables: { t: {} } };
  const tables = (settings) => ({ tables: { t: settings } });
  for (const [wrong, says] of [
    [{ engine: undefined }, /engine must be postgres/],
    [{ engine: { query() {} } }, /engine must be/],
    [{ authorize: undefined }, /authorize must be a function/],
    [{ tables: undefined }, /tables must be an object such as/],
    // The browser's half has a list here. Nothing would be allowed, and every browser would pause.
    [{ tables: ['t'] }, /tables must be an object such as/],
    [{ tables: new Map([['t', {}]]) }, /tables must be an object such as/],
    [tables(null), /tables: t must be/],
    [tables('raw'), /tables: t must be/],
    [tables({ into: '' }), /tables: t must be/],
    [tables({ namespace: 5 }), /tables: t must be/],
    [tables({ schema: 'creat' }), /tables: t must be/],
    [{ schema: 'creat' }, /schema must be 'strict'/],
    [{ limits: { maxBodyBytes: NaN } }, /limits: maxBodyBytes must be above 0/],
    [{ limits: { maxWrittenBytes: '9' } }, /limits: maxWrittenBytes must be/],
    [{ limits: { maxConcurrent: 0 } }, /limits: maxConcurrent must be/],
    [{ limits: { maxBytes: 9 } }, /limits: there is no maxBytes/],
    // A part of a text would be an origin that may call.
    [{ origins: 'https://app.example' }, /origins must be '\*' or an array/],
  ]) {
    const made = () => createFrameHandler({ ...good, ...wrong });
    assert.throws(made, (error) => error instanceof TypeError && says.test(error.message), String(says));
  }
});

test('a limit that is undefined is the default, and one without end is none', async () => {
  const bytes = Buffer.alloc((8 << 20) + 1);
  const code = async (limits) => {
    const handler = createFrameHandler({ engine, authorize, tables: { t: {} }, limits });
    const answer = await read(await handler(frameRequest(STREAM, 1, 't', bytes)));
    return answer.reason ?? answer.code;
  };
  const all =
    'maxBodyBytes maxRows maxWrittenBytes maxDecodedBytes bodyTimeoutMs applyTimeoutMs maxConcurrent';
  const names = `${all} maxConcurrentPerTenant requestsPerSecond`.split(' ');
  assert.equal(await code(Object.fromEntries(names.map((name) => [name, undefined]))), 'TOO_LARGE');
  const endless = names.filter((name) => !name.endsWith('Ms'));
  assert.equal(await code(Object.fromEntries(endless.map((name) => [name, Infinity]))), 'INVALID_FRAME');
});

test('an operator who cannot be told is no reason not to answer', async (t) => {
  const said = t.mock.method(console, 'error', () => {});
  const fails = () => {
    throw new Error('no');
  };
  const tables = { t: {} };
  const handler = createFrameHandler({ engine, authorize, tables, onError: fails, onReject: fails });
  const rejected = await read(await handler(frameRequest(STREAM, 1, 't', Buffer.from('x'))));
  assert.equal(rejected.reason ?? rejected.code, 'INVALID_FRAME');
  const failing = createFrameHandler({ engine, authorize: fails, tables, onError: fails });
  assert.equal((await read(await failing(stateRequest(STREAM)))).code, 'UNAVAILABLE');
  assert.equal(said.mock.callCount(), 2);
});

test('constants are a plain object of text, finite numbers, booleans and null; anything else is our mistake', async () => {
  class Row {
    org = 'acme';
  }
  const answer = async (constants) => {
    const errors = [];
    const options = { tables: { t: {} }, onError: (error) => errors.push(error) };
    const handler = createFrameHandler({ engine, authorize: () => ({ tenant: 'a', constants }), ...options });
    const frame = frameOf({ n: [new arrow.Int32(), [1]], org: [new arrow.Utf8(), ['forged']] });
    const { status, code } = await read(await handler(frameRequest(STREAM, 1, 't', frame)));
    // The operator hears of it; nobody is told that it is the frame.
    assert.deepEqual([status, code, errors.length], [500, 'INTERNAL', 1], String(errors));
    return errors[0].message;
  };
  for (const value of [undefined, NaN, Infinity, 5n, new Date(0), [], {}, Symbol('x'), () => 1, '\ud800']) {
    assert.match(await answer({ org: value }), /org/);
  }
  for (const constants of [
    null,
    [],
    ['a'],
    'text',
    7,
    new Map(),
    new Row(),
    Object.create({ org: 'acme' }),
  ]) {
    assert.match(await answer(constants), /plain object/);
  }
  for (const constants of [undefined, {}, Object.create(null), { a: 'x', b: 1.5, c: false, d: null }]) {
    const handler = createFrameHandler({
      engine,
      authorize: () => ({ tenant: 'a', constants }),
      tables: { t: {} },
    });
    assert.equal((await handler(stateRequest(STREAM))).status, 200);
  }
});

test('CORS: any origin unless some are named', async () => {
  const ask = async (origins, origin) => {
    const handler = createFrameHandler({ engine, authorize, tables: { t: {} }, ...(origins && { origins }) });
    const headers = { Origin: origin, 'Access-Control-Request-Method': 'PUT' };
    const path = `http://server/v1/streams/${STREAM}/frames/1?table=t`;
    const response = await handler(new Request(path, { method: 'OPTIONS', headers }));
    assert.equal(response.status, 204);
    assert.match(response.headers.get('Access-Control-Allow-Headers'), /Framelock-Item-Digest/);
    return response.headers.get('Access-Control-Allow-Origin');
  };
  assert.equal(await ask(undefined, 'https://a.example'), '*');
  assert.equal(await ask(['https://a.example'], 'https://a.example'), 'https://a.example');
  assert.equal(await ask(['https://a.example'], 'https://b.example'), null);
});

test('who waited for the books too long, because others have more time, is answered all the same', async () => {
  const client = {
    on: () => undefined,
    removeListener: () => undefined,
    release: () => undefined,
    async query(text) {
      const command = text.endsWith('COMMIT') ? 'COMMIT' : 'SELECT';
      return text.includes(';') ? [{ command }] : { command, rows: [{ there: true }] };
    },
  };
  // The first connection takes its time.
  const delays = [100];
  const pool = {
    on: () => undefined,
    connect: (callback) => setTimeout(callback, delays.shift() ?? 0, undefined, client),
  };
  const shared = postgres(pool);
  const handlerOf = (applyTimeoutMs) =>
    createFrameHandler({
      engine: shared,
      authorize,
      tables: {},
      limits: { applyTimeoutMs },
      onError: () => undefined,
    });
  const first = handlerOf(5000)(stateRequest(STREAM));
  assert.equal((await handlerOf(20)(stateRequest(STREAM))).status, 503);
  await first;
});
