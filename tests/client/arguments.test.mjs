// What callers may pass (www/client/arguments.ts, options.ts): copies, refusals and their words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyBytes, databaseName, sqlText, tableName, wireParams } from '../../.cache/modules/arguments.js';
import { FramelockError, fromWire } from '../../.cache/modules/errors.js';
import {
  appendOptions,
  openOptions,
  queryOptions,
  transactionOptions,
} from '../../.cache/modules/options.js';

const invalid = (pattern) => (error) => {
  assert.ok(error instanceof FramelockError, String(error));
  assert.equal(error.code, 'INVALID_ARGUMENT');
  assert.match(error.message, pattern);
  return true;
};
const refuses = (call, pattern = /./) => assert.throws(call, invalid(pattern));
const defaults = { retry: {}, fallback: 'handoff' };

test('database names', () => {
  for (const name of ['a', 'A-b_c.9', '-', '_x', 'x'.repeat(128)]) assert.equal(databaseName(name), name);
  const bad = [
    '',
    '.',
    '.a',
    'a/b',
    'a b',
    'é',
    'x'.repeat(129),
    'a\n',
    'a\0',
    undefined,
    null,
    5,
    {},
    Symbol('s'),
  ];
  for (const name of bad) refuses(() => databaseName(name));
  refuses(() => databaseName({ toString: () => 'trades' }));
});

test('table names', () => {
  for (const name of ['t', 'select', '"; DROP TABLE x', '😀', ' ', '__proto__', 'framelock_x']) {
    assert.equal(tableName(name), name);
  }
  for (const name of [
    '',
    'a\0b',
    '\ud800',
    'sqlite_x',
    'SQLite_x',
    '_framelock_types',
    '_FrameLock_',
    3,
    null,
  ]) {
    refuses(() => tableName(name));
  }
  // The place is said once.
  refuses(() => tableName('sqlite_x'), /^table "sqlite_x": names that start with/);
});

test('parameters are copied by value', () => {
  const bytes = Uint8Array.of(1, 2);
  const params = wireParams([null, 1.5, 2n, true, 'x', bytes, bytes.buffer, new Date(5)]);
  bytes[0] = 9;
  const copy = Uint8Array.of(1, 2);
  assert.deepEqual(params, [null, 1.5, 2n, true, 'x', copy, copy, 5n]);
  assert.deepEqual(wireParams(undefined), []);
  assert.deepEqual(wireParams({ a: 1, b: new Date(-1) }), { a: 1, b: -1n });
  const named = wireParams(JSON.parse('{"__proto__": 1}'));
  assert.equal(Object.getPrototypeOf(named), Object.prototype);
  assert.equal(Object.getOwnPropertyDescriptor(named, '__proto__').value, 1);
});

test('parameters that SQLite cannot keep are refused, by name', () => {
  refuses(() => wireParams([1, undefined]), /parameter 2 /);
  refuses(() => wireParams([, 1]), /parameter 1 /);
  refuses(() => wireParams({ qty: undefined }), /parameter "qty"/);
  for (const value of [
    2n ** 63n,
    -(2n ** 63n) - 1n,
    'a\udc00',
    Symbol('s'),
    {},
    [],
    () => 1,
    new Date(NaN),
  ]) {
    refuses(() => wireParams([value]));
  }
  refuses(() => wireParams([new Float64Array(1)]));
  refuses(() => wireParams([new Uint8Array(new SharedArrayBuffer(1))]), /shared/);
  refuses(() => wireParams('text'));
  refuses(() => wireParams(5));
  refuses(() => wireParams(Uint8Array.of(1)));
  const cause = new Error('no');
  const trap = Object.defineProperty({}, 'a', {
    enumerable: true,
    get() {
      throw cause;
    },
  });
  assert.throws(() => wireParams(trap), { code: 'INVALID_ARGUMENT', cause });
});

test('bytes: exact copies, detached and shrunk buffers', () => {
  const whole = Uint8Array.of(0, 1, 2, 3);
  const copy = copyBytes(whole.subarray(1, 3), 'x');
  assert.deepEqual(copy, Uint8Array.of(1, 2));
  assert.equal(copy.buffer.byteLength, 2);
  assert.deepEqual(copyBytes(Buffer.from('ab'), 'x'), Uint8Array.of(97, 98));
  structuredClone(whole, { transfer: [whole.buffer] });
  refuses(() => copyBytes(whole, 'x'), /detached/);
  refuses(() => copyBytes(whole.buffer, 'x'), /detached/);
  const resizable = new ArrayBuffer(8, { maxByteLength: 8 });
  const view = new Uint8Array(resizable, 4, 4);
  resizable.resize(2);
  refuses(() => copyBytes(view, 'x'), /out of bounds/);
});

test('options: own keys only, undefined counts as not given, misspellings and wrong kinds are refused', () => {
  assert.equal(appendOptions(undefined, defaults).fallback, 'handoff');
  assert.deepEqual(
    { ...appendOptions({ mode: undefined, frameId: 'f' }, defaults) },
    {
      frameId: 'f',
      fallback: 'handoff',
      retry: { __proto__: null },
    },
  );
  refuses(
    () => appendOptions({ fallBack: 'none' }, defaults),
    /unknown option "fallBack"; known: .*fallback/,
  );
  refuses(() => appendOptions([], defaults), /must be an object, not an array/);
  refuses(() => appendOptions({ mode: {} }, defaults), /not an object$/);
  refuses(() => appendOptions({ mode: 'insert' }, defaults), /mode must be one of/);
  refuses(() => appendOptions({ frameId: '' }, defaults), /frameId/);
  refuses(() => appendOptions({ frameId: 'x'.repeat(129) }, defaults));
  refuses(() => appendOptions({ retry: { attempts: -1 } }, defaults), /attempts/);
  refuses(() => appendOptions({ retry: { attempts: 1.5 } }, defaults));
  refuses(() => appendOptions({ retry: { deadlineMs: Infinity } }, defaults));
  refuses(() => appendOptions({ retry: { jitter: 1 } }, defaults));
  refuses(() => appendOptions({ signal: {} }, defaults), /AbortSignal/);
  refuses(() => appendOptions({ onProgress: true }, defaults));
  refuses(() => appendOptions({ key: 'id' }, defaults));
  refuses(() => appendOptions({ key: [] }, defaults));
  refuses(() => appendOptions({ types: { a: 1 } }, defaults));
  refuses(() => appendOptions(null, defaults));
  refuses(() => appendOptions('append', defaults));
  refuses(() => queryOptions({ int64: 'string' }));
  refuses(() => openOptions({ storage: 'disk' }));
  refuses(() => openOptions({ workerUrl: 5 }));
});

test('options: what the engine would refuse later is refused here, and a revoked proxy at once', () => {
  for (const retry of [
    { deadlineMs: Infinity },
    { factor: 0.5 },
    { attempts: 2 ** 60 },
    { lockTimeoutMs: NaN },
  ]) {
    refuses(() => openOptions({ retry }));
  }
  const { proxy, revoke } = Proxy.revocable([], {});
  revoke();
  refuses(() => appendOptions(proxy, defaults));
  refuses(() => appendOptions({ retry: proxy }, defaults));
  refuses(() => appendOptions({ mode: 'upsert', key: proxy }, defaults));
  const emoji = '😀'.repeat(128);
  assert.equal(appendOptions({ frameId: emoji }, defaults).frameId, emoji);
  refuses(() => appendOptions({ frameId: `${emoji}x` }, defaults));
});

test('options: who would wait longer than a day waits a day', () => {
  const retry = {
    attempts: 2 ** 40,
    lockTimeoutMs: 1e9,
    baseDelayMs: 1e10,
    maxDelayMs: 1e11,
    factor: 1e6,
    deadlineMs: 1e12,
  };
  const day = 86_400_000;
  assert.deepEqual(
    { ...openOptions({ retry }).retry },
    {
      attempts: 2 ** 32 - 1,
      lockTimeoutMs: day,
      baseDelayMs: day,
      maxDelayMs: day,
      factor: 1000,
      deadlineMs: day,
    },
  );
  assert.equal(queryOptions({ timeoutMs: 1e9 }).timeoutMs, day);
});

test('options: a polluted prototype is not an option', () => {
  Object.prototype.mode = 'replace';
  Object.prototype.deadlineMs = 1;
  try {
    const options = appendOptions({ lossy: 'warn' }, defaults);
    assert.equal(options.mode, undefined);
    assert.equal(options.retry.deadlineMs, undefined);
    assert.equal(openOptions({}).storage, 'opfs');
    assert.equal(openOptions().retry.deadlineMs, undefined);
  } finally {
    delete Object.prototype.mode;
    delete Object.prototype.deadlineMs;
  }
});

test('options: a column type may have any name', () => {
  const { types } = appendOptions({ types: JSON.parse('{"__proto__": "int64", "": "utf8"}') }, defaults);
  assert.deepEqual(Object.entries(types), [
    ['__proto__', 'int64'],
    ['', 'utf8'],
  ]);
});

test("options: the call's retry policy lies over the handle's, field by field", () => {
  const handle = openOptions({ retry: { attempts: 7, factor: 3 }, fallback: 'none' });
  const { retry, fallback } = appendOptions({ retry: { attempts: 2 } }, handle);
  assert.deepEqual({ ...retry }, { attempts: 2, factor: 3 });
  assert.equal(fallback, 'none');
  assert.equal(appendOptions({ fallback: 'queue' }, handle).fallback, 'queue');
  assert.equal(transactionOptions({ retry: { factor: 1 } }, handle).retry.attempts, 7);
  // The handle's is for appends: a transaction waits as statements do.
  assert.equal(transactionOptions({}, handle).retry, undefined);
});

test('SQL text', () => {
  assert.equal(sqlText('SELECT 1'), 'SELECT 1');
  refuses(() => sqlText('SELECT \ud800'));
  refuses(() => sqlText('DELETE FROM t \0 WHERE id = 1'), /U\+0000/);
  refuses(() => sqlText(['SELECT 1']));
});

test('errors carry what the engine said and nothing else', () => {
  const error = fromWire({ code: 'CONSTRAINT', message: 'no', table: 't', row: 3, sqliteCode: 2067 });
  assert.equal(error.name, 'FramelockError');
  assert.deepEqual(
    [error.code, error.message, error.table, error.row, error.sqliteCode],
    ['CONSTRAINT', 'table "t", row 3: no', 't', 3, 2067],
  );
  assert.equal('attempts' in error, false);
  assert.equal('cause' in error, false);
  assert.equal(fromWire({ code: 'ABORTED', message: '' }, 'why').cause, 'why');
});
