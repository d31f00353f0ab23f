// Calls that wait for a worker to start (www/client/channel.ts): each settles, whatever becomes of the others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channel } from '../../.cache/modules/channel.js';

test('what cannot be sent once the worker is there is refused, and what comes after it is sent', async () => {
  const worker = {
    postMessage({ id, args }) {
      if (args.sql === 'too long') throw new Error('it could not be cloned');
      this.onmessage({ data: { kind: 'reply', id, value: args.sql } });
    },
    terminate() {},
  };
  const channel = new Channel(
    async () => ({ worker, value: undefined, alive: undefined }),
    () => {},
    async () => undefined,
  );
  const exec = (sql) => channel.call('exec', { sql, params: [] }, { guardMs: 1000 });
  const calls = ['before', 'too long', 'after'].map(exec);
  const settled = await Promise.all(calls.map((call) => call.catch(({ code }) => code)));
  assert.deepEqual(settled, ['before', 'INVALID_ARGUMENT', 'after']);
});
