// Tabs that are killed while several append, and the books that tell afterwards what must be in the database. Shared by
// crash.test.mjs (a few rounds) and scripts/campaign.mjs (many).
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { sqlite3 } from './harness.mjs';

/** KILL_ROWS=5000 makes frames that are large enough to be transferred. */
const ROWS = Number(process.env.KILL_ROWS ?? 50);

/** What the pages reported, as it came in: a receipt that was reported before a kill was given before it. */
export class Ledger {
  #entries = new Map();
  #waiting = [];

  /** Takes reports; for the `intercept` of `launch`. */
  intercept = (request, response) => {
    if (request.method !== 'POST' || !request.url.startsWith('/ledger/')) return false;
    const book = request.url.slice('/ledger/'.length);
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      response.writeHead(204).end();
      this.entries(book).push(JSON.parse(Buffer.concat(parts).toString()));
      this.#waiting = this.#waiting.filter((look) => !look());
    });
    return true;
  };

  /** The reports of one book, in order of arrival. */
  entries(book) {
    if (!this.#entries.has(book)) this.#entries.set(book, []);
    return this.#entries.get(book);
  }

  /** Resolves as soon as an entry of the book fits, with true; with false after `ms`. */
  until(book, fits, ms = 20_000) {
    return new Promise((resolve) => {
      const give = (value) => {
        clearTimeout(timer);
        resolve(value);
      };
      const timer = setTimeout(() => give(false), ms);
      const look = () => this.entries(book).some(fits) && (give(true), true);
      if (!look()) this.#waiting.push(look);
    });
  }
}

/** A repeatable random number in [0, 1) for each call (splitmix32). */
export function randomOf(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** Opens the round's database as `db`, and defines `appendAll`. Runs in the page. */
async function prepare(book, rows) {
  await globalThis.db?.close();
  globalThis.db = await framelock.openDatabase(book);
  const report = (entry) =>
    fetch(`/ledger/${book}`, { method: 'POST', keepalive: true, body: JSON.stringify(entry) });
  /** Appends frames as fast as receipts come, `abreast` at a time; reports every receipt. Stops when told to. */
  globalThis.appendAll = async ({ writer, frames, abreast = 1, options = {} }) => {
    globalThis.stopped = false;
    let next = 0;
    const one = async () => {
      while (next < frames && !stopped) {
        const frame = next++;
        const column = (value) => Int32Array.from({ length: rows }, (_, row) => value ?? row);
        const note = Array.from({ length: rows }, (_, row) => `${writer}/${frame}/${row}`);
        const content = { writer: column(writer), frame: column(frame), row: column(), note };
        const entry = await db.appendFrame('t', content, { frameId: `${writer}-${frame}`, ...options }).then(
          ({ frameId, path, committed }) => ({ writer, frame, frameId, path, committed }),
          ({ code, message }) => ({ writer, frame, code, message }),
        );
        await report(entry);
      }
    };
    await Promise.all(Array.from({ length: abreast }, one));
  };
  /** Holds a transaction open until `release()`. Resolves once it is open. */
  globalThis.hold = () =>
    new Promise((opened, failed) => {
      globalThis.held = db
        .transaction(async (tx) => {
          await tx.exec('CREATE TABLE IF NOT EXISTS held(n); INSERT INTO held VALUES (1)');
          opened();
          await new Promise((resolve) => (globalThis.release = resolve));
        })
        .catch(failed);
    });
}

/**
 * Empties the queue of `db`, and looks at its table `t`: what `sql` says of its frames, how many rows are behind later
 * ones of their writer, what was refused, and whether the file is sound. Runs in the page.
 */
export async function inspect(sql) {
  let left;
  for (let i = 0; i < 50 && left !== 0; i++) left = (await db.drain()).remaining;
  const frames = await db.query(sql);
  const [{ disordered }] = await db.query(`
    SELECT count(*) AS disordered FROM (
      SELECT frame * 1000000 + row < lag(frame * 1000000 + row) OVER (PARTITION BY writer ORDER BY rowid) AS back
      FROM t) WHERE back`);
  const [{ integrity_check: integrity }] = await db.query('PRAGMA integrity_check');
  const rejected = (await db.rejected()).map(({ frameId, error }) => `${frameId}: ${error.message}`);
  return { left, frames, disordered, integrity, rejected };
}

/** Starts something in a tab whose end nobody may live to see. */
function start(tab, fn, ...args) {
  const running = tab.run(fn, ...args);
  running.catch(() => {});
  return running;
}

const appendAll = (options) => globalThis.appendAll(options);

/**
 * The ways to die. Each gets the round's three tabs and kills some of them; it gives those that live on. `first` is the
 * holder where there is one.
 */
export const SCENARIOS = {
  /** All three append with default options; one dies at a random moment. */
  async 'any tab, any moment'({ tabs, kill, random }) {
    const running = tabs.map((tab, writer) => start(tab, appendAll, { writer, frames: 400, abreast: 3 }));
    await sleep(50 + random() * 800);
    const dead = Math.floor(random() * tabs.length);
    await kill(tabs[dead]);
    await sleep(random() * 500);
    await finish(tabs, running, dead);
  },

  /** The same with so little patience that frames take every path. */
  async 'any tab, any moment, impatient'({ tabs, kill, random }) {
    const options = { retry: { attempts: 1, lockTimeoutMs: 3 } };
    const running = tabs.map((tab, writer) =>
      start(tab, appendAll, { writer, frames: 400, abreast: 4, options }),
    );
    await sleep(50 + random() * 800);
    const dead = Math.floor(random() * tabs.length);
    await kill(tabs[dead]);
    await sleep(random() * 500);
    await finish(tabs, running, dead);
  },

  /** All hand over at once, and whoever holds the lease takes the others' frames along; one of them dies. */
  async 'guests or their host'({ tabs, kill, random }) {
    const options = { retry: { attempts: 0 } };
    const running = tabs.map((tab, writer) => start(tab, appendAll, { writer, frames: 400, options }));
    await sleep(50 + random() * 800);
    const dead = Math.floor(random() * tabs.length);
    await kill(tabs[dead]);
    await sleep(random() * 500);
    await finish(tabs, running, dead);
  },

  /** The sender dies as soon as it is told `queued`. */
  async 'the sender, once its frame is queued'({ tabs: [holder, sender], kill, ledger, book }) {
    await holder.run(() => hold());
    const options = { fallback: 'queue', retry: { attempts: 1, lockTimeoutMs: 10 } };
    start(sender, appendAll, { writer: 1, frames: 30, abreast: 5, options });
    assert.ok(await ledger.until(book, ({ path }) => path === 'queued'), 'nothing was queued');
    await kill(sender);
    await holder.run(() => (release(), held));
  },

  /** The holder dies while it applies what others offered and answers. */
  async 'the holder, while it applies offers'({ tabs: [holder, ...senders], kill, ledger, book, random }) {
    await holder.run(() => hold());
    const options = { retry: { attempts: 0 } };
    const running = senders.map((tab, i) =>
      start(tab, appendAll, { writer: 1 + i, frames: 60, abreast: 20, options }),
    );
    await sleep(300);
    start(holder, () => release());
    await ledger.until(book, ({ path }) => path === 'handoff', 5000);
    await sleep(random() * 20);
    await kill(holder);
    await Promise.all(running);
  },

  /** The holder dies in its own transaction, with frames of others waiting for it. */
  async 'the holder, with offers waiting'({ tabs: [holder, ...senders], kill, random }) {
    await holder.run(() => hold());
    const running = senders.map((tab, i) =>
      start(tab, appendAll, { writer: 1 + i, frames: 40, abreast: 10 }),
    );
    await sleep(200 + random() * 1000);
    await kill(holder);
    await Promise.all(running);
  },

  /** Holder and sender die together; the third tab finds what they left. */
  async 'the holder and the sender'({ tabs: [holder, sender, third], kill, ledger, book, random }) {
    await holder.run(() => hold());
    const options = { retry: { attempts: 1, lockTimeoutMs: 20 } };
    const running = start(third, appendAll, { writer: 2, frames: 5 });
    start(sender, appendAll, { writer: 1, frames: 40, abreast: 10, options });
    await ledger.until(book, ({ writer }) => writer === 1);
    await sleep(random() * 100);
    await kill(holder, sender);
    await running;
  },

  /** Tabs are reloaded while they append; what was on its way is done or not, and what has a receipt is kept. */
  async 'no tab, but reloads at any moment'({ tabs, book, random }) {
    const append = (tab, writer) => start(tab, appendAll, { writer, frames: 400, abreast: 3 });
    const running = tabs.map((tab, at) => append(tab, at * 100));
    for (let reload = 1; reload <= 10; reload++) {
      await sleep(random() * 200);
      const at = Math.floor(random() * tabs.length);
      await tabs[at].load();
      await tabs[at].run(prepare, book, ROWS);
      running[at] = append(tabs[at], at * 100 + reload);
    }
    await finish(tabs, running, -1);
  },

  /** A tab dies while it drains a long queue. */
  async 'whoever drains the queue'({ tabs: [holder, sender, drainer], kill, ledger, book, random }) {
    await holder.run(() => hold());
    const options = { fallback: 'queue', retry: { attempts: 0 } };
    await sender.run(appendAll, { writer: 1, frames: 60, abreast: 20, options });
    assert.ok(ledger.entries(book).every(({ path }) => path === 'queued'));
    const retry = { attempts: 50 };
    const running = start(drainer, appendAll, { writer: 2, frames: 20, abreast: 5, options: { retry } });
    start(holder, () => release());
    await ledger.until(book, ({ writer }) => writer === 2, 2000);
    await sleep(random() * 50);
    if (random() < 0.5) return kill(drainer);
    await kill(holder);
    await running;
  },
};

async function finish(tabs, running, dead) {
  const alive = (list) => list.filter((_, i) => i !== dead);
  await Promise.all(alive(tabs).map((tab) => tab.run(() => void (globalThis.stopped = true))));
  await Promise.all(alive(running));
}

/** Kills tabs again and again and looks at the books after each time. */
export class Killing {
  #tabs = [];
  #pids = new Map();

  /** @param {{ browser: object, ledger: Ledger, seed: number }} options */
  constructor({ browser, ledger, seed }) {
    Object.assign(this, { browser, ledger, seed });
    this.round = 0;
  }

  /** One round of a scenario; throws with the round's seed when a promise was broken. Gives what was seen. */
  async run(scenario) {
    const seed = this.seed + this.round++;
    const book = `${this.browser.name}-${this.round}`;
    await this.#fill();
    await Promise.all(this.#tabs.map((tab) => tab.run(prepare, book, ROWS)));
    const dead = new Set();
    const kill = async (...victims) => {
      victims.forEach((tab) => dead.add(tab));
      await Promise.all(victims.map((tab) => tab.kill(this.#pids.get(tab))));
    };
    const { ledger } = this;
    try {
      const round = { tabs: [...this.#tabs], kill, ledger, book, random: randomOf(seed) };
      await SCENARIOS[scenario](round);
      this.#tabs = this.#tabs.filter((tab) => !dead.has(tab));
      return await this.#check(book);
    } catch (error) {
      error.message = `${scenario}, seed ${seed}: ${error.message}`;
      throw error;
    } finally {
      // A tab without a renderer may be slow to close, and nobody waits for it.
      for (const tab of dead) tab.close().catch(() => {});
    }
  }

  /** Makes the tabs three again. */
  async #fill() {
    while (this.#tabs.length < 3) {
      const tab = await this.browser.newTab();
      await sleep(200);
      this.#pids.set(tab, await tab.processId());
      this.#tabs.push(tab);
    }
  }

  /** Whether every receipt that was given is kept (I1, I2, I3, I5). */
  async #check(book) {
    const [witness] = this.#tabs;
    const found = await witness.run(
      inspect,
      'SELECT writer, frame, count(*) AS rows, count(DISTINCT row) AS different FROM t GROUP BY 1, 2',
    );
    const entries = this.ledger.entries(book);
    assert.deepEqual(
      entries.filter(({ code }) => code),
      [],
      'a call failed',
    );
    const there = new Map(found.frames.map((frame) => [`${frame.writer}-${frame.frame}`, frame]));
    const lost = entries.filter(({ frameId }) => !there.has(frameId));
    assert.deepEqual(lost, [], 'frames with a receipt are not in the table');
    const torn = found.frames.filter(({ rows, different }) => rows !== ROWS || different !== ROWS);
    assert.deepEqual(torn, [], 'frames that are there in part, or twice');
    const { left, disordered, integrity, rejected } = found;
    assert.deepEqual(
      { left, disordered, integrity, rejected },
      { left: 0, disordered: 0, integrity: 'ok', rejected: [] },
    );
    const file = await witness.download(() => db.exportFile());
    assert.equal(sqlite3(file, 'PRAGMA integrity_check'), 'ok');
    await Promise.all(this.#tabs.map((tab) => tab.run(() => db.close())));
    await witness.run((name) => framelock.deleteDatabase(name), book);
    const paths = {};
    for (const { path } of entries) paths[path] = (paths[path] ?? 0) + 1;
    return { receipts: entries.length, frames: found.frames.length, paths };
  }
}
