// When a new engine is warmed up, and with what (www/client/warm.ts); that it is, tests/contract/load.test.mjs sees.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packFrame } from '../../.cache/modules/frames.js';
import { PACKED, warmUpWhenIdle } from '../../.cache/modules/warm.js';

/** How often it had been warmed up after each of these: a message's operation, or milliseconds of silence. */
function warmings(context, ...steps) {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  let count = 0;
  const hear = warmUpWhenIdle(() => (count += 1));
  return steps.map((step) => {
    if (typeof step === 'number') context.mock.timers.tick(step);
    else hear({ kind: 'call', op: step });
    return count;
  });
}

test('once, after a while without calls, and never again', (context) => {
  assert.deepEqual(
    warmings(context, 99, 'query', 99, 'query', 100, 'query', 1000, 'exec', 1000),
    [0, 0, 0, 0, 1, 1, 1, 1, 1],
  );
});

for (const op of ['append', 'close']) {
  test(`not after ${op}`, (context) => {
    assert.deepEqual(warmings(context, op, 1000, 'query', 1000), [0, 0, 0, 0]);
  });
}

test('the rows are packed as the page packs them', () => {
  const { form, descriptor, buffers } = packFrame([{ i: 1, s: 'a' }]);
  assert.deepEqual([form, descriptor, buffers], ['packed', PACKED.descriptor, PACKED.buffers()]);
});
