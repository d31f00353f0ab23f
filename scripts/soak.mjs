// Eight tabs of one browser write and read one database for as long as one likes, while they are killed, closed,
// reloaded, frozen, robbed of their lock, out of space, and lied to by their files and by other tabs:
// `node scripts/soak.mjs --minutes 60 --seed 1`. Every minute all of it stops, and the books are held against the table:
// whatever had a receipt is there once and whole and in order, whatever ended with an error that says "nothing written"
// is not there. The sizes of memory and files are printed: they should stay. The first broken promise ends it. With
// `--browser firefox` tabs are not frozen and the disk does not fill: that takes Chromium's DevTools protocol.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { largestTabMb, launch, renderers, sqlite3 } from '../tests/contract/harness.mjs';
import { inspect, Ledger, randomOf } from '../tests/contract/kills.mjs';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    tabs: { type: 'string', default: '8' },
    browser: { type: 'string', default: 'chromium' },
    seed: { type: 'string', default: '1' },
    /** Only the faults that have this in their name; all of them where it is left out. */
    faults: { type: 'string', default: '' },
  },
});
const isChromium = values.browser === 'chromium';
const ROUND_MS = 60_000;
/** Errors after which nothing of the frame may be there (docs/errors.md). */
const NOTHING_WRITTEN = ['BUSY', 'TIMEOUT', 'ABORTED', 'QUOTA_EXCEEDED', 'SCHEMA_MISMATCH', 'CONSTRAINT'];
/** What may happen to a call while files fail, workers end and locks are stolen. */
const ALLOWED = [
  ...['BUSY', 'TIMEOUT', 'QUOTA_EXCEEDED', 'STORAGE_LOST', 'STORAGE_UNAVAILABLE'],
  ...['WORKER_FAILED', 'CLOSED', 'SQL'],
];

/** Appends, holds transactions and reads until it is told to stop. Runs in the page. */
async function work({ book, tab, seed }) {
  let state = seed;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const pick = (list) => list[Math.floor(random() * list.length)];
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const report = (entry) =>
    fetch(`/ledger/${book}`, { method: 'POST', keepalive: true, body: JSON.stringify(entry) }).catch(
      () => {},
    );
  const said = ({ code = 'none', message, attempts }) => ({ code, message, attempts });
  const OPTIONS = [
    {},
    {},
    { retry: { attempts: 0 } },
    { retry: { attempts: 1, lockTimeoutMs: 3 } },
    { retry: { deadlineMs: 150 } },
    { fallback: 'queue', retry: { attempts: 0 } },
    { fallback: 'none', retry: { attempts: 2, lockTimeoutMs: 30 } },
  ];
  let handles = 0;
  /** A handle, its frames and the name that they are written under: order is promised within one handle. */
  async function open() {
    const writer = `${tab}.${++handles}`;
    for (;;) {
      try {
        // The worker whose files and messages can be made to fail.
        const workerUrl = '/dist/testing/worker.js';
        const wasmUrl = '/dist/framelock_wasm_bg.wasm';
        globalThis.db = await framelock.openDatabase('soak', { workerUrl, wasmUrl });
        return { writer, next: 0, kept: [] };
      } catch (error) {
        await report({ open: writer, ...said(error) });
        if (globalThis.stopped) return undefined;
        await sleep(500);
      }
    }
  }
  const content = (writer, frame, rows) => ({
    writer: Array(rows).fill(writer),
    frame: new Int32Array(rows).fill(frame),
    rows: new Int32Array(rows).fill(rows),
    row: Int32Array.from({ length: rows }, (_, row) => row),
    note: Array.from({ length: rows }, (_, row) => `${writer}/${frame}/${row}`),
  });
  const size = () => (random() < 0.02 ? 5000 : 1 + Math.floor(random() * 200));
  const USUAL = ['append', 'append', 'append', 'append', 'append', 'again', 'transaction', 'read'];
  const UNUSABLE = ['STORAGE_LOST', 'WORKER_FAILED', 'CLOSED'];

  await globalThis.db?.close().catch(() => {});
  // So that they can be ended.
  globalThis.workers ??= [];
  globalThis.Worker = class extends (globalThis.OwnWorker ??= Worker) {
    constructor(...given) {
      super(...given);
      workers.push(this);
    }
  };
  let now = await open();
  const actions = {
    async append() {
      const handle = now;
      const { writer } = handle;
      const frame = handle.next++;
      const rows = size();
      const sent = { writer, frame, rows };
      const receipt = await db.appendFrame('t', content(writer, frame, rows), {
        frameId: `${writer}-${frame}`,
        ...pick(OPTIONS),
      });
      handle.kept.push(sent);
      return { ...sent, path: receipt.path };
    },
    async again() {
      const sent = pick(now.kept);
      if (sent === undefined) return undefined;
      const { writer, frame, rows } = sent;
      const receipt = await db.appendFrame('t', content(writer, frame, rows), {
        frameId: `${writer}-${frame}`,
      });
      return { ...sent, path: `again ${receipt.path}` };
    },
    async transaction() {
      // Under a name of its own: it overtakes what was appended before it and waits.
      const writer = `${now.writer}t`;
      const frame = now.next++;
      const rows = size();
      await db.transaction(async (tx) => {
        await tx.appendFrame('t', content(writer, frame, rows), { frameId: `${writer}-${frame}` });
        await sleep(random() * 200);
      });
      return { writer, frame, rows, path: 'transaction' };
    },
    async read() {
      const torn = await db.query(
        'SELECT writer, frame FROM t GROUP BY 1, 2 HAVING count(*) <> max(rows) LIMIT 3',
      );
      return torn.length ? { torn } : undefined;
    },
    /** A long statement, behind which the handle's other calls stand. */
    async compute() {
      await db.query(
        'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT max(i) FROM n',
        [Math.floor(random() * 2_000_000)],
      );
    },
  };
  async function worker() {
    while (!globalThis.stopped && now) {
      const action = random() < 0.02 ? 'compute' : pick(USUAL);
      const [handle, at] = [now, now.next];
      const name = `${handle.writer}${action === 'transaction' ? 't' : ''}`;
      const began = { action, frame: at, writer: handle.writer, at: Math.round(performance.now()) };
      globalThis.pending.add(began);
      try {
        const entry = await actions[action]();
        if (entry) await report(entry);
      } catch (error) {
        const isWrite = action === 'append' || action === 'transaction';
        await report({ action, ...said(error), ...(isWrite ? { writer: name, frame: at } : {}) });
        if (UNUSABLE.includes(error.code) && now === handle) {
          now = undefined;
          await db.close().catch(() => {});
          now = await open();
        }
        while (now === undefined && !globalThis.stopped) await sleep(50);
      }
      globalThis.pending.delete(began);
      await sleep(random() * 30);
    }
  }
  globalThis.pending = new Set();
  globalThis.stopped = false;
  globalThis.working = Promise.all([worker(), worker(), worker()]);
}

/** One tab, and what is being done to it. */
class Desk {
  constructor(soak, tab, pid) {
    Object.assign(this, { soak, tab, pid, trouble: undefined });
  }

  async begin() {
    if (isChromium) this.session = await this.tab.page.createCDPSession();
    const { book, random } = this.soak;
    const tab = `w${this.soak.writers++}`;
    await this.tab.run(work, { book, tab, seed: Math.floor(random() * 2 ** 32) });
  }

  /** Does something to it; one thing at a time. */
  suffer(fault) {
    const { done, failed } = this.soak;
    const count = (list, name) => (list[name] = (list[name] ?? 0) + 1);
    const what = FAULTS[fault](this, this.soak).then(
      () => count(done, fault),
      (error) => count(failed, `${fault}: ${error.message.slice(0, 100)}`),
    );
    this.trouble = what.finally(() => (this.trouble = undefined));
  }
}

/** What is done to tabs. Each gets a desk, and the run; a desk that it ends is replaced. */
const FAULTS = {
  async kill({ session, tab, pid }) {
    // Chromium has a process in reserve, which may be the one that came with the tab.
    if (isChromium) session.send('Page.crash').catch(() => {});
    else process.kill(pid, 'SIGKILL');
    for (let i = 0; i < 100 && isChromium && !tab.crashed; i++) await sleep(20);
    tab.crashed = true;
  },
  async close({ tab }) {
    tab.crashed = true;
    await tab.close();
  },
  async reload(desk) {
    await desk.tab.load();
    await desk.begin();
  },
  async freeze(desk, { random }) {
    await desk.session.send('Page.setWebLifecycleState', { state: 'frozen' });
    await sleep(1000 + random() * 10_000);
    await desk.session.send('Page.setWebLifecycleState', { state: 'active' });
  },
  async 'end the worker'({ tab }) {
    await tab.run(() => workers.splice(0).forEach((worker) => worker.terminate()));
  },
  async 'fill the disk'({ session }, soak) {
    const { origin } = soak.browser;
    const { usage } = await session.send('Storage.getUsageAndQuota', { origin });
    await session.send('Storage.overrideQuotaForOrigin', {
      origin,
      quotaSize: usage + soak.random() * 300_000,
    });
    await sleep(500 + soak.random() * 3000);
    await soak.freeTheDisk();
  },
  async 'steal the lock'({ tab }) {
    await tab.run(() => navigator.locks.request('framelock/1/soak', { steal: true }, async () => {}));
  },
  async 'fail file calls'(desk, { random }) {
    const files = { after: Math.floor(random() * 200), times: 1 + Math.floor(random() * 3) };
    await inject(desk, { files: { ...files, error: random() < 0.3 ? 'quota' : 'io' } });
  },
  async 'lose messages'(desk, { random }) {
    await inject(desk, {
      messages: { after: Math.floor(random() * 5), times: 1 + Math.floor(random() * 50) },
    });
  },
  /** What tabs told each other is told again, late, with a bit changed, and cut off. */
  async 'repeat messages'({ tab }) {
    await tab.run(async () => {
      const channel = new BroadcastChannel('framelock/1/soak');
      const heard = [];
      channel.onmessage = ({ data }) => heard.length < 50 && heard.push(data);
      await new Promise((resolve) => setTimeout(resolve, 300));
      for (const bytes of heard) {
        channel.postMessage(bytes);
        const changed = Uint8Array.from(bytes);
        changed[Math.floor(Math.random() * changed.length)] ^= 1 << Math.floor(Math.random() * 8);
        channel.postMessage(changed);
        channel.postMessage(changed.slice(0, Math.random() * changed.length));
      }
      channel.close();
    });
  },
};

/** What only Chromium can be told to do. */
const CHROMIUM_ONLY = ['freeze', 'fill the disk'];

/** Makes calls of a tab's worker fail for two seconds. */
async function inject(desk, plan) {
  await desk.tab.run((plan) => {
    const worker = workers.at(-1);
    worker.postMessage({ kind: 'faults', id: 1, plan });
    setTimeout(() => worker.postMessage({ kind: 'faults', id: 2, plan: {} }), 2000);
  }, plan);
}

class Soak {
  desks = [];
  writers = 0;
  /** How often each fault was made, and which could not be. */
  done = {};
  failed = {};
  round = 0;
  sums = { receipts: 0, frames: 0, errors: 0 };

  constructor(browser, ledger, seed) {
    Object.assign(this, { browser, ledger, random: randomOf(seed) });
  }

  get book() {
    return `round-${this.round}`;
  }

  async freeTheDisk() {
    if (!isChromium) return;
    const desk = this.desks.find(({ tab }) => !tab.crashed);
    await desk?.session.send('Storage.overrideQuotaForOrigin', { origin: this.browser.origin });
  }

  /** Makes the tabs as many as they should be. */
  async fill() {
    for (const desk of this.desks.filter(({ tab }) => tab.crashed)) desk.tab.close().catch(() => {});
    this.desks = this.desks.filter(({ tab }) => !tab.crashed);
    while (this.desks.length < Number(values.tabs)) {
      const before = renderers(this.browser);
      const tab = await this.browser.newTab();
      const [pid] = renderers(this.browser).filter((pid) => !before.includes(pid));
      const desk = new Desk(this, tab, pid);
      this.desks.push(desk);
      await desk.begin();
    }
  }

  /** A minute of work and faults. */
  async live(until) {
    const possible = Object.keys(FAULTS).filter((name) => isChromium || !CHROMIUM_ONLY.includes(name));
    const names = possible.filter((name) => name.includes(values.faults));
    while (performance.now() < until) {
      await this.fill();
      await sleep(200 + this.random() * 2000);
      const name = names[Math.floor(this.random() * names.length)];
      const desk = this.desks[Math.floor(this.random() * this.desks.length)];
      if (desk.tab.crashed || desk.trouble) continue;
      desk.suffer(name);
    }
  }

  /** Stops everything; gives how long that took. Every call settles by its deadline. */
  async settle() {
    await Promise.all(this.desks.map((desk) => Promise.race([desk.trouble, sleep(30_000)])));
    // Whatever is still in trouble after that is beyond it.
    for (const desk of this.desks.filter(({ trouble }) => trouble)) desk.tab.crashed = true;
    await this.freeTheDisk();
    // Faults that were planted end by themselves.
    await sleep(2500);
    await this.fill();
    const start = performance.now();
    const stop = ({ tab }) => tab.run(() => ((globalThis.stopped = true), globalThis.working.then(() => {})));
    const settled = Promise.all(this.desks.map(stop)).then(() => true);
    if (!(await Promise.race([settled, sleep(60_000)]))) {
      const ask = ({ tab }) => tab.run(() => [performance.now(), ...globalThis.pending]);
      const left = await Promise.all(
        this.desks.map((desk) => Promise.race([ask(desk), sleep(2000, 'no answer')])),
      );
      throw new Error(`calls did not settle within a minute: ${JSON.stringify(left)}`);
    }
    return performance.now() - start;
  }

  async check() {
    const witness = await this.browser.newTab();
    await witness.run(async () => void (globalThis.db = await framelock.openDatabase('soak')));
    const found = await witness.run(
      inspect,
      `SELECT writer || '-' || frame AS id, count(*) AS rows, count(DISTINCT row) AS different, max(rows) AS sent
       FROM t GROUP BY writer, frame`,
    );
    const entries = this.ledger.entries(this.book);
    const there = new Map(found.frames.map((frame) => [frame.id, frame]));
    const idOf = ({ writer, frame }) => `${writer}-${frame}`;
    const kept = entries.filter(({ path }) => path);
    const failed = entries.filter(({ code }) => code);
    const unwritten = failed.filter(({ code, writer }) => writer && NOTHING_WRITTEN.includes(code));
    assert.deepEqual(
      entries.filter(({ torn }) => torn),
      [],
      'a reader saw part of a frame',
    );
    assert.deepEqual(
      kept.filter((entry) => !there.has(idOf(entry))),
      [],
      'frames with a receipt are not there',
    );
    assert.deepEqual(
      unwritten.filter((entry) => there.has(idOf(entry))),
      [],
      'frames that were refused are there',
    );
    assert.deepEqual(
      failed.filter(({ code }) => !ALLOWED.includes(code)),
      [],
      'calls that must not fail',
    );
    const bad = found.frames.filter(({ rows, different, sent }) => rows !== sent || different !== sent);
    assert.deepEqual(bad, [], 'frames that are there in part, or twice');
    const { left, disordered, rejected, integrity } = found;
    const sound = { left: 0, disordered: 0, rejected: [], integrity: 'ok' };
    assert.deepEqual({ left, disordered, rejected, integrity }, sound);
    const file = await witness.download(() => db.exportFile());
    assert.equal(sqlite3(file, 'PRAGMA integrity_check'), 'ok');
    // The next minute begins with an empty table, in the same file.
    await witness.run(async () => {
      await db.exec('DELETE FROM t');
      await db.close();
    });
    await witness.close();
    this.sums.receipts += kept.length;
    this.sums.frames += found.frames.length;
    this.sums.errors += failed.length;
    return { kept, failed };
  }

  /** What the browser counts for the origin, and the memory of the tab whose process has the most. */
  async sizes() {
    const { session, tab } = this.desks[0];
    const { usage } = isChromium
      ? await session.send('Storage.getUsageAndQuota', { origin: this.browser.origin })
      : await tab.run(() => navigator.storage.estimate().then(({ usage }) => ({ usage })));
    const files = (usage / 2 ** 20).toFixed(1);
    return `files ${files} MB, the largest tab ${largestTabMb(this.browser).toFixed(0)} MB`;
  }

  async run(ms) {
    const end = performance.now() + ms;
    for (; performance.now() < end; this.round++) {
      for (const desk of this.desks) await desk.begin();
      await this.live(Math.min(end, performance.now() + ROUND_MS));
      const settled = await this.settle();
      const { kept, failed } = await this.check();
      const count = (list) => {
        const counts = {};
        for (const name of list) counts[name] = (counts[name] ?? 0) + 1;
        return JSON.stringify(counts);
      };
      console.log(`round ${this.round} | ${kept.length} kept ${count(kept.map(({ path }) => path))}`);
      console.log(`  failed ${count(failed.map(({ code }) => code))}, settled ${settled.toFixed(0)} ms`);
      console.log(`  ${await this.sizes()}`);
    }
  }
}

const ledger = new Ledger();
const browser = await launch(values.browser, { intercept: ledger.intercept });
const soak = new Soak(browser, ledger, Number(values.seed));
try {
  await soak.run(Number(values.minutes) * 60_000);
  const { receipts, frames, errors } = soak.sums;
  console.log(`faults: ${JSON.stringify(soak.done)}, not made: ${JSON.stringify(soak.failed)}`);
  console.log(
    `soak: ok, ${receipts} receipts, ${frames} frames, ${errors} calls that failed; none lost, none twice`,
  );
} catch (error) {
  console.error(`soak: round ${soak.round}, seed ${values.seed}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
