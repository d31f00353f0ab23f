// The facts of the browser that the simulator assumes, checked in real browsers. The same list is checked on the
// simulator's parts by tests/sim/facts.rs; where the two differ, the simulator is wrong.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/toolchain.mjs';
import { inBrowsers } from './harness.mjs';

const LIST = readFileSync(join(root, 'tests', 'fidelity', 'facts.txt'), 'utf8')
  .trim()
  .split('\n');

/** Gives a tab a worker of its own for synchronous handles: `worker(source)` runs an async function body in it. */
const startWorker = (tab) =>
  tab.run(async () => {
    const worker = new Worker('/tests/contract/eval-worker.mjs', { type: 'module' });
    globalThis.inWorker = (name, ...args) =>
      new Promise((resolve) => {
        const id = crypto.randomUUID();
        worker.addEventListener('message', function listen({ data }) {
          if (data.id !== id) return;
          worker.removeEventListener('message', listen);
          resolve(data.value);
        });
        worker.postMessage({ id, name, args });
      });
  });

const ask = (tab, name, ...args) => tab.run((name, ...args) => inWorker(name, ...args), name, ...args);

/** Asks for a lock in the page; `granted` collects names in the order of granting. */
const request = (tab, who, mode) =>
  tab.run(
    (who, mode) => {
      globalThis.granted ??= [];
      globalThis.releases ??= {};
      globalThis.controllers ??= {};
      controllers[who] = new AbortController();
      navigator.locks
        .request('fact', { mode, signal: controllers[who].signal }, () => {
          granted.push(who);
          return new Promise((resolve) => (releases[who] = resolve));
        })
        .catch(() => granted.push(`${who} ended`));
      return navigator.locks.query().then(() => {});
    },
    who,
    mode,
  );

const release = (tab, who) => tab.run((who) => releases[who](), who);
const granted = (tab) => tab.run(() => new Promise((r) => setTimeout(() => r(granted.splice(0)), 50)));

const CHECKS = {
  'locks are granted in the order of asking, and readers share': async ({ browser }) => {
    const tab = await browser.newTab();
    for (const [who, mode] of Object.entries({ a: 'shared', b: 'shared', c: 'exclusive', d: 'shared' })) {
      await request(tab, who, mode);
    }
    assert.deepEqual(await granted(tab), ['a', 'b']);
    await release(tab, 'a');
    assert.deepEqual(await granted(tab), []);
    await release(tab, 'b');
    assert.deepEqual(await granted(tab), ['c']);
    await release(tab, 'c');
    assert.deepEqual(await granted(tab), ['d']);
    await tab.close();
  },
  'a request that was taken back is never granted': async ({ browser }) => {
    const tab = await browser.newTab();
    for (const who of ['a', 'b', 'c']) await request(tab, who, 'exclusive');
    await tab.run(() => controllers.b.abort());
    await release(tab, 'a');
    assert.deepEqual(await granted(tab), ['a', 'b ended', 'c']);
    await tab.close();
  },
  "a dead tab's lock goes to the next one": async ({ browser }) => {
    const [first, second] = [await browser.newTab(), await browser.newTab()];
    const pid = await first.processId();
    await request(first, 'a', 'exclusive');
    await request(second, 'b', 'exclusive');
    assert.deepEqual(await granted(second), []);
    await first.kill(pid);
    await second.run(async () => {
      while (!granted.length) await new Promise((resolve) => setTimeout(resolve, 10));
    });
    await second.close();
  },
  "a stolen lock leaves its holder's file handle exclusive": async ({ browser }) => {
    const [first, second] = [await browser.newTab(), await browser.newTab()];
    await Promise.all([first, second].map(startWorker));
    await request(first, 'a', 'exclusive');
    assert.equal(await ask(first, 'open', 'stolen'), 'open');
    await second.run(() => navigator.locks.request('fact', { steal: true }, () => {}));
    assert.deepEqual(await granted(first), ['a', 'a ended']);
    assert.equal(await ask(second, 'open', 'stolen'), 'NoModificationAllowedError');
    await Promise.all([first.close(), second.close()]);
  },
  'a second handle on a file is refused while the first is open': async ({ browser }) => {
    const [first, second] = [await browser.newTab(), await browser.newTab()];
    await Promise.all([first, second].map(startWorker));
    assert.equal(await ask(first, 'open', 'file'), 'open');
    assert.equal(await ask(first, 'open', 'file'), 'NoModificationAllowedError');
    assert.equal(await ask(second, 'open', 'file'), 'NoModificationAllowedError');
    await ask(first, 'close', 'file');
    assert.equal(await ask(second, 'open', 'file'), 'open');
    await Promise.all([first.close(), second.close()]);
  },
  "a dead tab's file handle is free within two seconds": async ({ browser }) => {
    const [first, second] = [await browser.newTab(), await browser.newTab()];
    const pid = await first.processId();
    await Promise.all([first, second].map(startWorker));
    assert.equal(await ask(first, 'open', 'dead'), 'open');
    await first.kill(pid);
    assert.equal(await ask(second, 'openWithin', 'dead', 2000), 'open');
    await second.close();
  },
  'messages reach every other tab, not the sender, in the order of sending': async ({ browser }) => {
    const tabs = [await browser.newTab(), await browser.newTab(), await browser.newTab()];
    for (const tab of tabs) {
      await tab.run(() => {
        globalThis.heard = [];
        globalThis.channel = new BroadcastChannel('fact');
        channel.onmessage = ({ data }) => heard.push(data);
      });
    }
    await tabs[0].run(() => {
      for (let i = 0; i < 100; i++) channel.postMessage(i);
    });
    const all = Array.from({ length: 100 }, (_, i) => i);
    for (const tab of tabs.slice(1)) {
      const heard = await tab.run(async () => {
        for (let i = 0; i < 200 && heard.length < 100; i++) await new Promise((r) => setTimeout(r, 10));
        return heard;
      });
      assert.deepEqual(heard, all);
    }
    assert.deepEqual(await tabs[0].run(() => heard), []);
    await Promise.all(tabs.map((tab) => tab.close()));
  },
  'a write that does not fit the quota fails, and the bytes before it stay': async ({ browser, name, t }) => {
    if (name !== 'chromium') return t.skip('no way to lower the quota of an origin in a running Firefox');
    const tab = await browser.newTab();
    await startWorker(tab);
    await ask(tab, 'open', 'full');
    await ask(tab, 'write', 'full', 6, 0);
    const cdp = await tab.page.createCDPSession();
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: browser.origin, quotaSize: 100_000 });
    const outcome = await ask(tab, 'write', 'full', 4_000_000, 6);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: browser.origin });
    // It throws, or it says that it wrote another number of bytes.
    assert.notEqual(outcome, 4_000_000);
    assert.deepEqual(await ask(tab, 'read', 'full', 6), [1, 1, 1, 1, 1, 1]);
    await tab.close();
  },
  'a moved file is whole under its new name and gone from the old one': async ({ browser }) => {
    const tab = await browser.newTab();
    await startWorker(tab);
    await ask(tab, 'open', 'a.tmp');
    await ask(tab, 'write', 'a.tmp', 5, 0);
    await ask(tab, 'close', 'a.tmp');
    assert.deepEqual(await ask(tab, 'move', 'a.tmp', 'a.frame'), { size: 5, old: 'NotFoundError' });
    await tab.close();
  },
};

test('the list and the checks are the same', () => assert.deepEqual(Object.keys(CHECKS), LIST));

inBrowsers((context) => {
  for (const [fact, check] of Object.entries(CHECKS)) {
    test(fact, (t) => check({ browser: context.browser, name: context.name, t }));
  }
});
