// Unit tests without a browser: the same engine, in a thread, on databases in memory. Tests may run at the same time.
// What memory cannot show (other tabs, a held lock, a full disk) is for a browser: see ../vitest.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withTestDatabase } from 'framelock/testing';
import { raise, savePrices } from './prices.js';

const inMemory = (fn) => () => withTestDatabase(fn, { storage: 'memory' });
const PRICES = [
  { sym: 'A', price: 9.5 },
  { sym: 'B', price: 10.25 },
];

describe('prices', { concurrency: true }, () => {
  test(
    'are kept, and replaced by newer ones',
    inMemory(async (db) => {
      assert.equal(await savePrices(db, PRICES), 2);
      await savePrices(db, [{ sym: 'A', price: 11 }]);
      const rows = await db.query('SELECT sym, price FROM price ORDER BY sym');
      assert.deepEqual(
        rows.map(({ price }) => price),
        [11, 10.25],
      );
    }),
  );

  test(
    'a raise is seen by whoever listens',
    inMemory(async (db) => {
      await savePrices(db, PRICES);
      const committed = new Promise((resolve) => db.on('commit', resolve));
      assert.equal(await raise(db, 'B', 1), 11.25);
      assert.deepEqual((await committed).tables, ['price']);
    }),
  );

  test(
    'a raise of nothing changes nothing',
    inMemory(async (db) => {
      await savePrices(db, PRICES);
      await assert.rejects(raise(db, 'C', 1), /no price of C/);
      const [{ sum }] = await db.query('SELECT sum(price) AS sum FROM price');
      assert.equal(sum, 19.75);
    }),
  );
});
