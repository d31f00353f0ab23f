// Forwarding from real browsers to a server that goes away, forgets, refuses and comes back: what is in the table here is
// in the table over there, in content and order, once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ForwardServer } from './forward-server.mjs';
import { inBrowsers } from './harness.mjs';

/** Opens the database as `db`, keeping what it tells. Runs in the page. */
async function open(database, url, forward = {}) {
  globalThis.told = [];
  if (forward.tokens) {
    const tokens = [...forward.tokens];
    globalThis.asked = [];
    forward = {
      ...forward,
      getToken: async (what) => {
        asked.push(what.refresh);
        return tokens.length > 1 ? tokens.shift() : tokens[0];
      },
    };
    delete forward.tokens;
  }
  globalThis.db = await framelock.openDatabase(database, { forward: { url, tables: ['ticks'], ...forward } });
  db.on('forward', (event) => told.push(event));
}

/** Appends `count` frames of `rows` rows. Runs in the page. */
async function append(first, count, rows, table = 'ticks', options = {}) {
  const receipts = [];
  for (let frame = first; frame < first + count; frame++) {
    const n = Array.from({ length: rows }, (_, row) => frame * 1000 + row);
    const columns = {
      frame: Int32Array.from(n, () => frame),
      n: Int32Array.from(n),
      word: n.map((i) => `né ${i}`),
    };
    receipts.push(await db.appendFrame(table, columns, options));
  }
  return receipts.length;
}

const forwarding = (tab) => tab.run(async () => (await db.status()).forwarding);

/** Waits until the server has acknowledged everything. */
async function arrived(tab, what = (status) => status.pending === 0) {
  let status;
  for (let tries = 0; tries < 400; tries++) {
    status = await forwarding(tab);
    if (what(status)) return status;
    await sleep(50);
  }
  const told = await tab.run(() => told.slice(-5));
  throw new Error(`it does not come to that: ${JSON.stringify({ status, told })}`);
}

/** The table here equals the one over there, in content and order. */
async function assertEqual(tab, server, table = 'ticks') {
  const here = await tab.run((table) => db.query(`SELECT * FROM "${table}" ORDER BY rowid`), table);
  const there = server.rows(table);
  assert.equal(there.length, here.length);
  const shown = (rows) => rows.map(({ frame, n, word }) => `${frame} ${n} ${word}`);
  assert.deepEqual(shown(there), shown(here));
  return here.length;
}

/** Cuts the network of a tab, its worker's too; gives what joins it again. */
async function cut(tab) {
  await tab.page.setOfflineMode(true);
  return () => tab.page.setOfflineMode(false);
}

inBrowsers((context) => {
  const chromiumOnly = { skip: context.name !== 'chromium' };
  const servers = [];
  const newServer = async () => {
    const server = await new ForwardServer().start();
    servers.push(server);
    return server;
  };
  let names = 0;
  const newName = () => `forward-${++names}`;
  before(() => {});
  after(() => Promise.all(servers.map((server) => server.stop().catch(() => {}))));

  test('frames arrive in order, coalesced and compressed; others stay here', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await tab.run(open, name, server.url);
    await tab.run(append, 0, 30, 100);
    await tab.run(append, 0, 1, 10, 'private');
    await tab.run(append, 30, 1, 10, 'ticks', { forward: false });
    await tab.run(append, 0, 1, 10, 'said', { forward: true });
    const status = await arrived(tab);
    assert.equal(server.rows('ticks').length, 3000);
    assert.equal(server.rows('private').length, 0);
    assert.equal(server.rows('said').length, 10);
    assert.deepEqual(
      { ...status, stream: '' },
      {
        pending: 0,
        lastAcknowledged: 31,
        paused: false,
        reason: null,
        deadLetters: 0,
        stream: '',
      },
    );
    const puts = server.requests.filter(({ method }) => method === 'PUT');
    assert.ok(puts.length < 31, `${puts.length} requests for 31 frames`);
    assert.ok(puts.some(({ encoding }) => encoding === 'gzip'));
    assert.ok((await tab.run(() => told)).every(({ what }) => what === 'acknowledged'));
    await tab.close();
  });

  test('appended while the server is away, over a reload: all of it arrives once it is back', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await tab.run(open, name, server.url);
    await tab.run(append, 0, 3, 50);
    await arrived(tab);
    await server.stop();
    await tab.run(append, 3, 10, 50);
    await arrived(tab, ({ pending, reason }) => pending === 10 && reason === 'NETWORK');
    await tab.page.reload();
    await tab.load();
    await tab.run(open, name, server.url);
    await tab.run(append, 13, 5, 50);
    // What was acknowledged just before the reload may not have been written down.
    await arrived(tab, ({ pending }) => pending >= 15);
    await server.start();
    await arrived(tab);
    assert.equal(await assertEqual(tab, server), 18 * 50);
    // And again, with the server away between two frames.
    for (let round = 0; round < 3; round++) {
      await tab.run(append, 18 + round * 2, 1, 50);
      await server.stop();
      await tab.run(append, 19 + round * 2, 1, 50);
      await server.start();
    }
    await arrived(tab);
    assert.equal(await assertEqual(tab, server), 24 * 50);
    await tab.close();
  });

  test(
    'the network is cut by the browser: appends go on, and all arrives when it is back',
    chromiumOnly,
    async () => {
      const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
      await tab.run(open, name, server.url);
      await tab.run(append, 0, 2, 50);
      await arrived(tab);
      const join = await cut(tab);
      await tab.run(append, 2, 8, 50);
      await arrived(tab, ({ pending, reason }) => pending === 8 && reason === 'NETWORK');
      assert.equal(server.rows('ticks').length, 100);
      await join();
      await arrived(tab);
      assert.equal(await assertEqual(tab, server), 500);
      await tab.close();
    },
  );

  test('five tabs append, one sends, and another takes over when it goes', async () => {
    const [server, name] = [await newServer(), newName()];
    const tabs = await Promise.all([1, 2, 3, 4, 5].map(() => context.browser.newTab()));
    for (const tab of tabs) await tab.run(open, name, server.url);
    await Promise.all(tabs.slice(1).map((tab, i) => tab.run(append, i * 10, 10, 20)));
    // The first one sends; it goes without a word.
    await tabs[0].close();
    await Promise.all(tabs.slice(1).map((tab, i) => tab.run(append, 100 + i * 10, 10, 20)));
    await arrived(tabs[1], ({ pending, lastAcknowledged }) => pending === 0 && lastAcknowledged === 80);
    assert.equal(await assertEqual(tabs[1], server), 80 * 20);
    const heard = await tabs[4].run(() => told.length);
    assert.ok(heard > 0, 'every tab hears of it');
    await Promise.all(tabs.slice(1).map((tab) => tab.close()));
  });

  test('a joined frame is forwarded with its transaction, or not at all', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await tab.run(open, name, server.url);
    await tab.run(async () => {
      const frame = (frame) => ({ frame: [frame], n: [frame], word: ['joined'] });
      await db.transaction(async (tx) => void (await tx.appendFrame('ticks', frame(1))));
      await db
        .transaction(async (tx) => {
          await tx.appendFrame('ticks', frame(2));
          throw new Error('no');
        })
        .catch(() => {});
      await db.transaction(async (tx) => {
        await tx.appendFrame('ticks', frame(3));
        await db.appendFrame('ticks', frame(4));
      });
    });
    await arrived(tab, ({ pending, lastAcknowledged }) => pending === 0 && lastAcknowledged === 3);
    assert.deepEqual(
      server.rows('ticks').map(({ frame }) => Number(frame)),
      [1, 3, 4],
      'the queued one too, after the transaction',
    );
    await tab.close();
  });

  test('a token is refreshed once; refused again it stops, and goes on after resume', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    server.token = 'good';
    await tab.run(open, name, server.url, { tokens: ['old', 'good'] });
    await tab.run(append, 0, 2, 10);
    await arrived(tab);
    assert.deepEqual(await tab.run(() => asked), [false, true]);
    server.token = 'better';
    await tab.run(append, 2, 1, 10);
    const stopped = await arrived(tab, ({ paused }) => paused);
    assert.deepEqual([stopped.reason, stopped.pending], ['UNAUTHENTICATED', 1]);
    server.token = 'good';
    await tab.run(() => db.forwarding.resume());
    await arrived(tab);
    assert.equal(await assertEqual(tab, server), 30);
    assert.ok(server.requests.every(({ authorization }) => authorization?.startsWith('Bearer ')));
    await tab.close();
  });

  test('a pause holds over a reload, and a resume from another tab ends it', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await tab.run(open, name, server.url);
    await tab.run(() => db.forwarding.pause());
    await tab.run(append, 0, 3, 10);
    await tab.page.reload();
    await tab.load();
    await tab.run(open, name, server.url);
    const status = await arrived(tab, ({ paused }) => paused);
    assert.deepEqual([status.reason, status.pending], ['PAUSED', 3]);
    await sleep(300);
    assert.equal(server.rows('ticks').length, 0);
    const other = await context.browser.newTab();
    await other.run(async (name) => {
      const db = await framelock.openDatabase(name);
      await db.forwarding.resume();
      await db.close();
    }, name);
    await arrived(tab);
    assert.equal(await assertEqual(tab, server), 30);
    await Promise.all([tab.close(), other.close()]);
  });

  test('status() has what waits from the first call on: after a reload, a pause, its end, a handed over frame', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await server.stop();
    await tab.run(open, name, server.url);
    await tab.run(append, 0, 3, 10);
    await tab.page.reload();
    await tab.load();
    const seen = await tab.run(
      async (name, url) => {
        const forward = { url, tables: ['ticks'] };
        const now = async (db) => {
          const { pending, paused, reason } = (await db.status()).forwarding;
          return [pending, paused, reason];
        };
        let db = await framelock.openDatabase(name, { forward });
        const seen = { opened: (await now(db))[0] };
        await db.forwarding.pause();
        seen.paused = await now(db);
        await db.close();
        db = await framelock.openDatabase(name, { forward });
        seen.openedPaused = await now(db);
        await db.forwarding.resume();
        seen.resumed = (await now(db)).slice(0, 2);
        // Another handle has the lease, and takes the frame along unless this one gets the lease first.
        const writer = await framelock.openDatabase(name);
        await writer.exec('CREATE TABLE other(a)');
        const retry = { attempts: 0 };
        await db.appendFrame('ticks', [{ frame: 9, n: 9, word: 'né 9' }], { retry });
        seen.handedOver = (await now(db))[0];
        await Promise.all([db.close(), writer.close()]);
        return seen;
      },
      name,
      server.url,
    );
    assert.deepEqual(seen, {
      opened: 3,
      paused: [3, true, 'PAUSED'],
      openedPaused: [3, true, 'PAUSED'],
      resumed: [3, false],
      handedOver: 4,
    });
    await tab.close();
  });

  test('a page that is hidden, and stops to send, still knows what waits', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await server.stop();
    await tab.run(open, name, server.url);
    await tab.run(append, 0, 3, 10);
    await tab.page.reload();
    await tab.load();
    await tab.run(open, name, server.url);
    for (let tries = 0; !(await tab.run(() => told.length)); tries++) {
      assert.ok(tries < 200, 'it does not even try to send');
      await sleep(20);
    }
    const seen = await tab.run(async () => {
      const seen = [];
      for (const state of ['hidden', 'visible', 'hidden']) {
        Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
        for (let i = 0; i < 5; i++) seen.push((await db.status()).forwarding.pending);
      }
      return seen;
    });
    assert.deepEqual(seen, Array(15).fill(3));
    await tab.close();
  });

  test('status() waits for no lock that another writer keeps', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    const waited = await tab.run(
      async (name, url) => {
        const writer = await framelock.openDatabase(name);
        return writer.transaction(async () => {
          const db = await framelock.openDatabase(name, { forward: { url } });
          const start = performance.now();
          await db.status();
          await db.status();
          const waited = performance.now() - start;
          await db.close();
          return waited;
        });
      },
      name,
      server.url,
    );
    assert.ok(waited < 2000, `${waited} ms`);
    await tab.close();
  });

  test('a database in memory is forwarded at once, token and all', async () => {
    const [server, tab] = [await newServer(), await context.browser.newTab()];
    server.token = 'token';
    await tab.run(async (url) => {
      const forward = { url, tables: ['ticks'], getToken: () => 'token' };
      globalThis.told = [];
      globalThis.db = await framelock.openDatabase('memory', { storage: 'memory', forward });
    }, server.url);
    await tab.run(append, 0, 2, 10);
    await arrived(tab);
    assert.equal(await assertEqual(tab, server), 20);
    await tab.close();
  });

  test('a token that is none is reported, and is in no message', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    const reported = await tab.run(
      async (name, url) => {
        const tokens = ['two words'];
        const reported = [];
        const done = new Promise((resolve) =>
          addEventListener('error', (event) => {
            event.preventDefault();
            reported.push(`${event.error.code}: ${event.message}`);
            if (reported.length === 2) resolve();
          }),
        );
        const getToken = () => tokens.shift();
        const db = await framelock.openDatabase(name, { forward: { url, getToken } });
        await db.appendFrame('ticks', [{ frame: 1, n: 1, word: 'né 1' }], { forward: true });
        dispatchEvent(new Event('online'));
        await done;
        await db.close();
        return reported;
      },
      name,
      server.url,
    );
    for (const message of reported) {
      assert.match(message, /^INVALID_ARGUMENT: .*getToken must give a token/);
      assert.doesNotMatch(message, /two words/);
    }
    await tab.close();
  });

  test('a refused frame is a dead letter here and a skip there, and the others go on', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    server.refuse = ({ frame }) => (Number(frame) === 2 ? 'CONSTRAINT' : undefined);
    await tab.run(open, name, server.url);
    await tab.run(append, 0, 5, 10);
    const status = await arrived(tab);
    assert.equal(status.deadLetters, 1);
    const frames = () => [...new Set(server.rows('ticks').map(({ frame }) => Number(frame)))];
    assert.deepEqual(frames(), [0, 1, 3, 4]);
    const [letter] = await tab.run(() => db.forwarding.deadLetters());
    assert.deepEqual([letter.code, letter.seq, letter.rows, letter.table], ['CONSTRAINT', 3, 10, 'ticks']);
    const [skip] = [...server.streams.values()][0].filter((item) => item.skip);
    assert.equal(skip.skip.digest, skip.digest);
    const event = await tab.run(() => told.find(({ what }) => what === 'dead-letter'));
    assert.deepEqual(event.deadLetter, letter);
    // Its cause is cured: it is sent again, behind the others.
    server.refuse = () => undefined;
    await tab.run((id) => db.forwarding.retryDeadLetter(id), letter.id);
    await arrived(tab, ({ pending, lastAcknowledged }) => pending === 0 && lastAcknowledged === 6);
    assert.deepEqual(frames(), [0, 1, 3, 4, 2]);
    assert.deepEqual(await tab.run(() => db.forwarding.deadLetters()), []);
    const error = await tab.run(() => db.forwarding.discardDeadLetter(3)).catch((error) => error);
    assert.equal(error.code, 'INVALID_ARGUMENT');
    await tab.close();
  });

  test('a server that lost its last items is sent them again', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await tab.run(open, name, server.url);
    for (let frame = 0; frame < 6; frame++) {
      await tab.run(append, frame, 1, 10);
      await arrived(tab);
    }
    const [items] = server.streams.values();
    items.splice(3);
    await tab.run(append, 6, 1, 10);
    await arrived(tab, ({ pending, lastAcknowledged }) => pending === 0 && lastAcknowledged === 7);
    assert.equal(await assertEqual(tab, server), 70);
    assert.ok(await tab.run(() => told.some(({ what }) => what === 'rewound')));
    await tab.close();
  });

  test('a server that lost what is kept no more stops it loudly, until it is restarted', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await tab.run(open, name, server.url, { keepMs: 0, keepBytes: 0 });
    for (let frame = 0; frame < 4; frame++) {
      await tab.run(append, frame, 1, 10);
      await arrived(tab);
    }
    await sleep(1500);
    const [items] = server.streams.values();
    items.splice(1);
    await tab.run(append, 4, 1, 10);
    const status = await arrived(tab, ({ paused }) => paused);
    assert.deepEqual([status.reason, status.pending], ['REMOTE_REWOUND', 1]);
    await tab.run(() => db.forwarding.restart());
    await arrived(tab, ({ pending, stream }) => pending === 0 && stream !== status.stream);
    const there = new Set(server.rows('ticks').map(({ frame }) => Number(frame)));
    assert.ok(there.has(0) && there.has(3) && there.has(4), `${[...there]}`);
    await tab.close();
  });

  /** A tab beside a copy of the tab's database, which is called `${name}-copy` and is not open. */
  async function copied(tab, name) {
    // Acknowledgements are written down a moment later, and a copy made before would send those frames again.
    await sleep(1500);
    await tab.run(async (name) => {
      const copy = await framelock.openDatabase(name);
      await copy.importFile(await db.exportFile());
      await copy.close();
    }, `${name}-copy`);
    return context.browser.newTab();
  }

  test('a copied database sends under a stream of its own', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await tab.run(open, name, server.url);
    await tab.run(append, 0, 2, 10);
    await arrived(tab);
    const copy = await copied(tab, name);
    await tab.run(append, 2, 1, 10);
    await arrived(tab);
    // It does not come to the server before somebody listens.
    await server.stop();
    await copy.run(open, `${name}-copy`, server.url);
    await server.start();
    await copy.run(append, 3, 2, 10);
    const { stream } = await forwarding(tab);
    // Before the server has answered, nothing waits in the old stream, of which two items are acknowledged, too.
    const isNew = (status) => status.stream !== stream && status.pending === 0;
    await arrived(copy, (status) => isNew(status) && status.lastAcknowledged === 2);
    assert.ok(await copy.run(() => told.some(({ what }) => what === 'forked')));
    assert.notEqual((await forwarding(copy)).stream, stream);
    const frames = server.rows('ticks').map(({ frame }) => Number(frame));
    assert.deepEqual([...new Set(frames)], [0, 1, 2, 3, 4]);
    assert.equal(frames.length, 50, 'each once');
    assert.equal(server.streams.size, 2);
    await Promise.all([tab.close(), copy.close()]);
  });

  test('what is appended to an older copy that was imported is sent, though more of the original was', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await tab.run(open, name, server.url);
    await tab.run(append, 0, 1, 10);
    await arrived(tab);
    await sleep(1500);
    const copy = await tab.run(async () => [...(await db.exportFile())]);
    await tab.run(append, 1, 1, 10);
    await arrived(tab);
    // At once: that frame 1 was acknowledged is not written down yet.
    await tab.run(async (bytes) => {
      await db.importFile(Uint8Array.from(bytes));
      await db.appendFrame('ticks', { frame: Int32Array.of(2), n: Int32Array.of(2), word: ['two'] });
    }, copy);
    await arrived(tab);
    const frames = server.rows('ticks').map(({ frame }) => Number(frame));
    assert.deepEqual([...new Set(frames)], [0, 1, 2]);
    await tab.close();
  });

  /**
   * Two copies that came to differ send the same last frame, each in its own way: neither takes that of the other,
   * and with it the frame before, for its own. Frame 5 is a dead letter of both.
   */
  async function sendsAllTheSame(last, times) {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    server.refuse = ({ frame }) => (Number(frame) === 5 ? 'CONSTRAINT' : undefined);
    await tab.run(open, name, server.url);
    await tab.run(append, 0, 1, 10);
    await tab.run(append, 5, 1, 10);
    await arrived(tab, ({ pending, deadLetters }) => pending === 0 && deadLetters === 1);
    const copy = await copied(tab, name);
    server.refuse = () => undefined;
    await tab.run(append, 1, 1, 10);
    await last(tab);
    await arrived(tab);
    await server.stop();
    await copy.run(open, `${name}-copy`, server.url);
    await copy.run(append, 2, 1, 10);
    await last(copy);
    await server.start();
    await arrived(copy);
    assert.ok(await copy.run(() => told.some(({ what }) => what === 'forked')));
    const frames = server.rows('ticks').map(({ frame }) => Number(frame));
    const found = Object.keys(times).map((frame) => [
      frame,
      frames.filter((n) => n === Number(frame)).length / 10,
    ]);
    assert.deepEqual(Object.fromEntries(found), times);
    await Promise.all([tab.close(), copy.close()]);
  }

  test('two copies whose last frames have the same rows do not take each other for themselves', () =>
    sendsAllTheSame((tab) => tab.run(append, 9, 1, 10), { 0: 1, 1: 1, 2: 1, 9: 2 }));

  test('nor do those whose last frames have the same id', () =>
    sendsAllTheSame((tab) => tab.run(append, 9, 1, 10, 'ticks', { frameId: 'day 1' }), {
      0: 1,
      1: 1,
      2: 1,
      9: 2,
    }));

  test('nor do those that both retry the same dead letter', () =>
    sendsAllTheSame(
      (tab) =>
        tab.run(async () => {
          const [letter] = await db.forwarding.deadLetters();
          await db.forwarding.retryDeadLetter(letter.id);
        }),
      { 0: 1, 1: 1, 2: 1, 5: 2 },
    ));

  test('what a copy saw refused is a dead letter here too', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    server.refuse = ({ frame }) => (Number(frame) === 5 ? 'CONSTRAINT' : undefined);
    await tab.run(open, name, server.url);
    await tab.run(append, 0, 1, 10);
    await arrived(tab);
    await tab.run(() => db.forwarding.pause());
    await tab.run(append, 5, 2, 10);
    const copy = await copied(tab, name);
    await tab.run(() => db.forwarding.resume());
    await arrived(tab, ({ pending, deadLetters }) => pending === 0 && deadLetters === 1);
    await copy.run(open, `${name}-copy`, server.url);
    await copy.run(() => db.forwarding.resume());
    assert.equal((await arrived(copy)).deadLetters, 1);
    const letters = () => db.forwarding.deadLetters();
    assert.deepEqual(await copy.run(letters), await tab.run(letters));
    assert.deepEqual(await copy.run(() => told.filter(({ what }) => what === 'forked')), []);
    const frames = server.rows('ticks').map(({ frame }) => Number(frame));
    assert.deepEqual([...new Set(frames)], [0, 6]);
    await Promise.all([tab.close(), copy.close()]);
  });

  test('what cannot be forwarded is refused, and options are looked at', async () => {
    const [server, tab, name] = [await newServer(), await context.browser.newTab(), newName()];
    await tab.run(open, name, server.url);
    const codes = await tab.run(async (url) => {
      const codes = [];
      const tries = [
        () => db.appendFrame('ticks', { n: [1] }, { mode: 'replace' }),
        () => db.appendFrame('other', { n: [1] }, { mode: 'upsert', key: ['n'], forward: true }),
        () => db.appendFrame('other', { n: [1] }, { forward: 'yes' }),
        () => framelock.openDatabase('x', { forward: {} }),
        () => framelock.openDatabase('x', { forward: { url: 'ftp://x' } }),
        () => framelock.openDatabase('x', { forward: { url: `${url}?a=1` } }),
        () => framelock.openDatabase('x', { forward: { url, tables: 'ticks' } }),
        () => framelock.openDatabase('x', { forward: { url, getToken: 'secret' } }),
        () => framelock.openDatabase('x', { forward: { url, keepMs: -1 } }),
        () => db.forwarding.restart(),
      ];
      for (const attempt of tries)
        codes.push(
          await attempt().then(
            () => 'none',
            (error) => error.code,
          ),
        );
      return codes;
    }, server.url);
    assert.deepEqual([...new Set(codes)], ['INVALID_ARGUMENT'], codes.join());
    await tab.run(() => db.appendFrame('ticks', { n: [1] }, { mode: 'replace', forward: false }));
    const plain = await tab.run(async () => {
      const db = await framelock.openDatabase('unforwarded', { storage: 'memory' });
      const { forwarding } = await db.status();
      await db.close();
      return forwarding;
    });
    assert.equal(plain, null);
    await tab.close();
  });
});
