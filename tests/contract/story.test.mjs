// The scene that framelock was made for, as a story.
//
// A test wrapper opens a transaction before each test and rolls it back afterwards, so that tests leave nothing behind.
// The code under test knows nothing of that: it has a connection of its own and appends a data frame. With an ordinary
// SQLite its write met a locked database. It was retried, then sent through the wrapper's connection as rows of text:
// numbers became strings, and what the wrapper rolled back was gone though the append had been reported as done.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow';
import { inBrowsers } from './harness.mjs';

/** What the code under test appends: a big integer, a text that looks like a number, a missing value. */
const TRADES = tableFromArrays({
  id: BigInt64Array.of(1n, 2n ** 53n + 1n, 3n),
  price: Float64Array.of(101.25, 1e-300, 99),
  symbol: ['0123', 'ÅÄÖ', null],
});

inBrowsers((context) => {
  let tab;
  beforeEach(async () => {
    tab = await context.browser.newTab();
    await tab.run(async () => {
      // The test wrapper: one connection that keeps a transaction open for the whole test.
      globalThis.wrapper = await framelock.openDatabase('story');
      globalThis.insideWrapper = (test) =>
        wrapper.transaction(async (tx) => {
          await tx.exec('CREATE TABLE IF NOT EXISTS fixtures(name TEXT)');
          await tx.exec("INSERT INTO fixtures VALUES ('only for this test')");
          return test(tx);
        });
      // The code under test: it has a connection of its own, and no idea of the wrapper.
      globalThis.app = await framelock.openDatabase('story');
      globalThis.saveTrades = (trades) => app.appendFrame('trades', trades);
    });
  });

  /** What is in the table once everything has settled; the tab is closed. */
  async function tradesOf(tab, receipt) {
    const { committed, arrow, rows, fixtures } = await tab.run(async (frameId) => {
      const { committed } = await app.whenCommitted(frameId);
      const arrow = await app.queryArrow('SELECT * FROM trades');
      const rows = await app.query('SELECT id, typeof(symbol) AS kind, symbol FROM trades');
      const fixtures = await app.query("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'fixtures'");
      await Promise.all([app.close(), wrapper.close()]);
      await framelock.deleteDatabase('story');
      return { committed, arrow, rows, fixtures };
    }, receipt.frameId);
    await tab.close();
    return { committed, table: tableFromIPC(arrow), rows, fixtures: fixtures[0].n };
  }

  /** Every row is there once, with the types and the values that were sent. */
  function assertTrades({ committed, table, rows }) {
    assert.equal(committed, true);
    const types = ({ schema }) => schema.fields.map(({ name, type }) => `${name} ${type}`);
    assert.deepEqual(types(table), types(TRADES));
    assert.deepEqual(
      table.toArray().map((row) => row.toJSON()),
      [
        { id: 1n, price: 101.25, symbol: '0123' },
        { id: 2n ** 53n + 1n, price: 1e-300, symbol: 'ÅÄÖ' },
        { id: 3n, price: 99, symbol: null },
      ],
    );
    assert.deepEqual(rows[0], { id: 1n, kind: 'text', symbol: '0123' });
  }

  test('the wrapper rolls back: the frame that was appended meanwhile is there all the same, once', async () => {
    const receipt = await tab.run(async (trades) => {
      let receipt;
      const rolledBack = new Error('the wrapper always rolls back');
      await insideWrapper(async () => {
        receipt = await saveTrades(trades);
        throw rolledBack;
      }).catch((error) => {
        if (error !== rolledBack) throw error;
      });
      return receipt;
    }, tableToIPC(TRADES));
    assert.equal(receipt.path, 'queued');
    assert.equal(receipt.committed, false);
    const seen = await tradesOf(tab, receipt);
    assertTrades(seen);
    assert.equal(seen.fixtures, 0, "nothing of the wrapper's own stays");
  });

  test('the wrapper commits: both are there, the frame once', async () => {
    const receipt = await tab.run((trades) => insideWrapper(() => saveTrades(trades)), tableToIPC(TRADES));
    assert.equal(receipt.committed, false);
    const seen = await tradesOf(tab, receipt);
    assertTrades(seen);
    assert.equal(seen.fixtures, 1);
  });

  test('the code under test does not wait for the wrapper: when that ends at once, it is handed over', async () => {
    const receipt = await tab.run(async (trades) => {
      let saving;
      await insideWrapper(async () => {
        saving = saveTrades(trades);
      });
      return saving;
    }, tableToIPC(TRADES));
    assert.ok(['direct', 'handoff'].includes(receipt.path), receipt.path);
    assertTrades(await tradesOf(tab, receipt));
  });

  test('sent again with the same id, as an application does after a crash: still once', async () => {
    const { first, again } = await tab.run(async (trades) => {
      const first = await insideWrapper(() => app.appendFrame('trades', trades, { frameId: 'import-42' }));
      const again = await app.appendFrame('trades', trades, { frameId: 'import-42' });
      return { first, again };
    }, tableToIPC(TRADES));
    assert.deepEqual([first.path, again.path], ['queued', 'duplicate']);
    assertTrades(await tradesOf(tab, first));
  });

  test('and who wants the frame to be part of the transaction says so', async () => {
    const receipt = await tab.run(
      (trades) => insideWrapper((tx) => tx.appendFrame('trades', trades)),
      tableToIPC(TRADES),
    );
    assert.deepEqual([receipt.path, receipt.committed], ['joined', false]);
    assertTrades(await tradesOf(tab, receipt));
  });
});
