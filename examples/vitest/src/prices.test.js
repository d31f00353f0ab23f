import { faults, holdWriteLock, withTestDatabase } from 'framelock/testing';
import { describe, expect, test } from 'vitest';
import { dearest, savePrices } from './prices.js';

const PRICES = [
  { sym: 'A', price: 9.5 },
  { sym: 'B', price: 10.25 },
];

// Every test has a database of its own: they may run at the same time, and none wraps another in a transaction.
describe.concurrent('prices', () => {
  test('are kept', () =>
    withTestDatabase(async (db) => {
      expect(await savePrices(db, PRICES)).toBe('saved');
      expect(await dearest(db)).toBe('B');
    }));

  test('begin empty, whatever other tests did', () =>
    withTestDatabase(async (db) => {
      await expect(dearest(db)).rejects.toMatchObject({ code: 'SQL' });
    }));

  test('wait while another tab holds the lock, and are in when it lets go', () =>
    withTestDatabase(async (db) => {
      const release = await holdWriteLock(db.name);
      expect(await savePrices(db, PRICES)).toBe('waiting');
      await release();
      await db.drain();
      expect(await dearest(db)).toBe('B');
    }));

  test('are all there or not at all when the disk is full', () =>
    withTestDatabase(async (db) => {
      await savePrices(db, PRICES);
      const end = await faults(db, { files: { call: 'write', error: 'quota', times: Infinity } });
      await expect(savePrices(db, [{ sym: 'C', price: 99 }])).rejects.toMatchObject({
        code: 'QUOTA_EXCEEDED',
      });
      expect((await end()).files).toBeGreaterThan(0);
      expect(await dearest(db)).toBe('B');
    }));
});
