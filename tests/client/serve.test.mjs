// The engine's end of a channel, in Node and in memory (www/client/serve.ts).
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Handle } from '../../.cache/modules/framelock_wasm.js';
import { serve } from '../../.cache/modules/serve.js';

test('an opening that is given up, as framelock/here does after 10 s, leaves nothing open', async (context) => {
  const wasm = new URL('../../dist/framelock_wasm_bg.wasm', import.meta.url);
  const module = await WebAssembly.compile(await readFile(wasm));
  const open = context.mock.method(Handle, 'open');
  const freed = context.mock.method(Handle.prototype, 'free');
  const said = [];
  const { receive, free } = serve((message) => said.push(message));
  const options = { storage: 'memory', durability: 'full' };
  receive({ kind: 'open', name: 'late', options, module });
  free();
  while (open.mock.callCount() === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await open.mock.calls[0].result;
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([freed.mock.callCount(), said], [1, []]);
});
