// The demo as a visitor uses it, in Chromium: two tabs, the flights through the page's own buttons, a held lock, a file
// of the visitor's, the downloaded database, a phone's width. Nothing may go to the console as an error, nothing may
// break the CSP.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow';
import { root } from '../../scripts/toolchain.mjs';
import { percentile, summarize } from '../../www/demo/receipts.js';
import { BROWSERS, launch, sqlite3 } from './harness.mjs';

const AXE = readFileSync(join(root, 'node_modules', 'axe-core', 'axe.min.js'), 'utf8');
const FLIGHTS = join(root, 'node_modules', 'vega-datasets', 'data', 'flights-200k.arrow');
const count = (n) => n.toLocaleString('en');
const JOB_MS = { timeout: 60_000 };

/** The demo in a tab, ready; violations of the CSP are collected from the first moment. */
async function openDemo(browser, { width = 1200, height = 1000 } = {}) {
  const tab = await browser.newTab('/blank');
  await tab.page.setViewport({ width, height });
  await tab.page.evaluateOnNewDocument(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (event) =>
      violations.push(`${event.violatedDirective}: ${event.blockedURI}`),
    );
  });
  await tab.page.goto(`${browser.origin}/`);
  await tab.page.waitForSelector('html[data-ready]');
  return tab;
}

const textOf = (tab, id) => tab.page.$eval(`#${id}`, (found) => found.textContent.trim());
const jobIs = (tab, state) => tab.page.waitForFunction(`demo.job.state === '${state}'`, JOB_MS);
const shows = (tab, id, text) =>
  tab.page.waitForFunction(`document.getElementById('${id}').textContent.includes('${text}')`, JOB_MS);
const outcomes = (tab) => tab.page.evaluate('demo.outcomes');

/** Whatever the page has to say about something that went wrong. */
async function complaints(tab) {
  const alert = await tab.page.$eval('#alert', (found) => (found.hidden ? [] : [found.textContent]));
  return [...tab.errors, ...alert, ...(await tab.page.evaluate('violations'))];
}

describe('the demo', { skip: !BROWSERS.includes('chromium') }, () => {
  let browser;
  let first;
  let second;
  let folder;
  const flights = tableFromIPC(readFileSync(FLIGHTS));

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'framelock-demo-'));
    browser = await launch('chromium');
    first = await openDemo(browser);
    second = await openDemo(browser);
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('the flights go in through the page, and both tabs show every row', async () => {
    await shows(first, 'flights-note', count(flights.numRows));
    await first.page.click('#append-here');
    await jobIs(first, 'done');
    for (const tab of [first, second]) await shows(tab, 'rows', count(flights.numRows));
    const summary = summarize(await outcomes(first)).find(({ path }) => path === 'direct');
    assert.equal(summary.rows, flights.numRows);
    assert.equal(summary.frames, Math.ceil(flights.numRows / 5000));
  });

  test('the histogram counts what apache-arrow counts', async () => {
    const expected = new Map();
    for (const delay of flights.getChild('delay')) {
      const bin = Math.floor(delay / 10) * 10;
      expected.set(bin, (expected.get(bin) ?? 0) + 1);
    }
    const { bins, rows } = await second.page.evaluate(async () => {
      const { readHistogram } = await import('/histogram.js');
      return readHistogram(demo.db, 'flights');
    });
    assert.equal(rows, flights.numRows);
    assert.deepEqual(new Map(bins.map(({ from, n }) => [from, n])), expected);
    const bars = await second.page.$$eval('#chart .bar', (found) => found.length);
    assert.ok(bars > 10, `${bars} bars`);
    const label = await second.page.$eval('#chart', (found) => found.getAttribute('aria-label'));
    assert.match(label, /most rows, [\d,]+, from -10 to 0/);
  });

  test('both tabs append together, each a half', async () => {
    await first.page.click('#clear');
    for (const tab of [first, second]) await shows(tab, 'rows', '0');
    await first.page.evaluate('demo.job.state = "idle"');
    await shows(first, 'append-all', 'all 2 tabs');
    await first.page.click('#append-all');
    for (const tab of [first, second]) await jobIs(tab, 'done');
    for (const tab of [first, second]) await shows(tab, 'rows', count(flights.numRows));
    const totals = await Promise.all([first, second].map((tab) => tab.page.evaluate('demo.job.total')));
    assert.equal(totals[0] + totals[1], flights.numRows);
    assert.ok(Math.abs(totals[0] - totals[1]) <= 1, String(totals));
  });

  test('while one tab holds the lock the other one says so, and every row arrives in the end', async () => {
    await second.page.click('#hold');
    await shows(second, 'hold', 'Holding');
    await shows(first, 'lock', 'another tab');
    await first.page.click('#forget');
    await first.page.select('#fallback', 'none');
    await first.page.click('#append-here');
    await shows(first, 'log', 'BUSY');
    await shows(first, 'message', 'BUSY after 3 attempts, nothing written');
    await jobIs(first, 'done');
    await shows(first, 'rows', count(2 * flights.numRows));
    const busy = (await outcomes(first)).filter(({ code }) => code === 'BUSY');
    assert.ok(busy.every(({ attempts }) => attempts.length === 3));
    await shows(second, 'hold', 'Hold the lock');
  });

  test('frames put into the queue meanwhile are shown as not applied, and then as applied', async () => {
    await second.page.click('#hold');
    await shows(second, 'hold', 'Holding');
    await first.page.click('#forget');
    await first.page.select('#fallback', 'queue');
    await first.page.click('#append-here');
    await shows(first, 'log', 'not applied yet');
    await jobIs(first, 'done');
    await first.page.waitForFunction('demo.outcomes.every(({ committed }) => committed)', JOB_MS);
    await shows(first, 'log', 'later');
    await shows(first, 'rows', count(3 * flights.numRows));
    const queued = summarize(await outcomes(first)).find(({ path }) => path === 'queued');
    assert.ok(queued.frames > 0);
    await shows(second, 'hold', 'Hold the lock');
  });

  test('a file of the visitor goes into a table of its own', async () => {
    const names = Array.from({ length: 1200 }, (_, i) => `n${i}`);
    const table = tableFromArrays({ name: names, size: Float64Array.from(names, (_, i) => i / 7) });
    const path = join(folder, 'sizes.arrow');
    writeFileSync(path, tableToIPC(table, 'file'));
    const input = await first.page.$('#file');
    await input.uploadFile(path);
    await shows(first, 'file-note', 'sizes.arrow, 1,200 rows');
    await first.page.select('#frame-rows', '1000');
    await first.page.click('#append-here');
    await jobIs(first, 'done');
    await shows(first, 'fact-table', 'sizes');
    await shows(first, 'rows', '1,200');
    assert.equal(await textOf(first, 'chart-title'), 'size');
  });

  test('a file that is no Arrow file is refused with its code', async () => {
    const path = join(folder, 'words.arrow');
    writeFileSync(path, 'nothing but words\n');
    const input = await first.page.$('#file');
    await input.uploadFile(path);
    await shows(first, 'file-note', 'words.arrow');
    await first.page.click('#append-here');
    await jobIs(first, 'failed');
    assert.equal(await textOf(first, 'alert-code'), 'INVALID_FRAME');
    await first.page.click('#alert-close');
  });

  test('the downloaded file is a whole SQLite database', async () => {
    const session = await first.page.createCDPSession();
    await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder });
    await first.page.click('#download');
    await shows(first, 'message', 'Saved flights.sqlite3');
    const file = join(folder, 'flights.sqlite3');
    for (let i = 0; i < 100; i++) {
      await sleep(50);
      try {
        if (sqlite3(file, 'PRAGMA integrity_check') === 'ok') break;
      } catch {
        // Not there yet.
      }
    }
    assert.equal(sqlite3(file, 'SELECT count(*) FROM flights'), String(3 * flights.numRows));
    assert.equal(sqlite3(file, 'SELECT count(*) FROM sizes'), '1200');
  });

  test('a phone has nothing to scroll sideways', async () => {
    const phone = await openDemo(browser, { width: 360, height: 740 });
    await shows(phone, 'rows', count(3 * flights.numRows));
    await phone.page.click('#append-here');
    await jobIs(phone, 'done');
    const { wide, over } = await phone.page.evaluate(() => ({
      wide: document.documentElement.scrollWidth,
      over: [...document.querySelectorAll('body *')]
        .filter((found) => !found.closest('.scroll') && found.getBoundingClientRect().right > innerWidth)
        .map((found) => found.outerHTML.slice(0, 80)),
    }));
    assert.equal(wide, 360);
    assert.deepEqual(over, []);
    assert.deepEqual(await complaints(phone), []);
    await phone.close();
  });

  for (const [where, width] of [
    ['on a desk', 1200],
    ['on a phone', 360],
  ]) {
    for (const scheme of ['light', 'dark']) {
      test(`axe finds nothing ${where}, ${scheme}`, async () => {
        const tab = await openDemo(browser, { width });
        await tab.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
        await tab.page.waitForFunction("/^[1-9]/.test(document.getElementById('rows').textContent)");
        await tab.page.evaluate(AXE);
        const { violations, passes } = await tab.page.evaluate('axe.run()');
        assert.ok(passes.length > 20, `${passes.length} rules passed`);
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
        assert.deepEqual(found, []);
        await tab.close();
      });
    }
  }

  test('every control has a name', async () => {
    const nameless = await first.page.$$eval('button, a, input, select, [role]', (found) =>
      found
        .filter((one) => !one.labels?.length && !one.ariaLabel && !one.textContent.trim() && !one.hidden)
        .map((one) => one.outerHTML),
    );
    assert.deepEqual(nameless, []);
  });

  test('no error on the console, nothing against the CSP', async () => {
    for (const tab of [first, second]) assert.deepEqual(await complaints(tab), []);
  });
});

describe('the demo as an app', { skip: !BROWSERS.includes('chromium') }, () => {
  let browser;
  before(async () => (browser = await launch('chromium')));
  after(() => browser?.close());

  test('a first visit: what it loads, and how long until rows are in', async (t) => {
    const tab = await openDemo(browser);
    await shows(tab, 'flights-note', 'real ones');
    const look = await tab.page.evaluate(() => {
      const entries = [
        ...performance.getEntriesByType('navigation'),
        ...performance.getEntriesByType('resource'),
      ];
      const own = entries.filter(({ name }) => !/flights|offline-files/.test(name));
      const sum = (list) => list.reduce((total, { encodedBodySize }) => total + encodedBodySize, 0);
      return { files: own.length, bytes: sum(own), all: sum(entries), readyMs: performance.now() };
    });
    const ms = await tab.page.evaluate(async () => {
      const start = performance.now();
      await demo.db.appendFrame('first', { n: Int32Array.of(1) });
      return performance.now() - start;
    });
    const kB = (bytes) => `${count(Math.round(bytes / 1000))} kB`;
    t.diagnostic(
      `${look.files} files, ${kB(look.bytes)} as they are (no compression here), ${kB(look.all)} with the flights; ` +
        `ready after ${look.readyMs.toFixed(0)} ms, first append ${ms.toFixed(1)} ms`,
    );
    assert.ok(look.bytes < 3_600_000, `${look.bytes} bytes before the data set`);
    assert.ok(look.files < 60, `${look.files} requests`);
    await tab.close();
  });

  test('a browser would install it', async () => {
    const tab = await openDemo(browser);
    const session = await tab.page.createCDPSession();
    const { errors, data } = await session.send('Page.getAppManifest');
    assert.deepEqual(errors, []);
    const { icons } = JSON.parse(data);
    for (const { src, sizes } of icons) {
      const wide = await tab.page.evaluate(async (src) => {
        const image = new Image();
        image.src = src;
        await image.decode();
        return image.naturalWidth;
      }, src);
      if (sizes !== 'any') assert.equal(`${wide}x${wide}`, sizes, src);
    }
    const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
    assert.deepEqual(installabilityErrors, []);
    await tab.close();
  });

  test('with the server gone it opens, appends and draws; an old cache goes with its version', async () => {
    const tab = await openDemo(browser);
    await tab.page.evaluate("caches.open('framelock-demo-old')");
    await tab.page.waitForSelector('#offline:not([hidden])');
    await tab.page.evaluate('navigator.serviceWorker.getRegistration().then((one) => one.unregister())');
    await tab.page.reload();
    await tab.page.waitForSelector('#offline:not([hidden])');
    await tab.page.waitForFunction('navigator.serviceWorker.controller');
    const names = await tab.page.evaluate('caches.keys()');
    assert.equal(names.length, 1);
    assert.match(names[0], /^framelock-demo-[0-9a-f]{16}$/);
    await browser.server.close();
    await tab.page.goto(`${browser.origin}/?from=icon`);
    await tab.page.waitForSelector('html[data-ready]');
    await shows(tab, 'flights-note', 'real ones');
    await tab.page.click('#append-here');
    await jobIs(tab, 'done');
    await shows(tab, 'rows', '231,083');
    assert.ok((await tab.page.$$eval('#chart .bar', (found) => found.length)) > 10);
    const failed = tab.errors.filter((text) => !text.includes('ERR_CONNECTION_REFUSED'));
    assert.deepEqual(failed, []);
  });
});

test('percentiles are numbers that were there', () => {
  assert.equal(percentile([], 50), undefined);
  assert.equal(percentile([4], 99), 4);
  assert.equal(percentile([1, 2, 3, 4], 50), 2);
  assert.equal(percentile([1, 2, 3, 4], 99), 4);
});
