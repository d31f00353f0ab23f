// The main job without a display: a real Chromium with a profile on disk, four windows of the demo that append the
// flights together, a share each, and then a look at what became of every frame, by the receipts and by an ordinary
// sqlite3 on the exported file. `npm start` runs it where there is no display.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import puppeteer from 'puppeteer-core';
import { browserPaths, root } from './toolchain.mjs';

const TABS = 4;
/** What a picture shows: enough height for everything but the end of the log. */
const VIEW = { width: 1200, height: 1420 };
const JOB_TIMEOUT_MS = 120_000;

const CHROMIUM_ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // All windows are in front, each with a process of its own, as they are for somebody with four windows.
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  '--disable-features=ProcessPerSiteUpToMainFrameThreshold,Translate,MediaRouter',
];

/** A window with the demo, ready; what goes wrong in it is collected in `errors`. */
async function openTab(browser, address, errors) {
  const page = await browser.newPage({ type: 'window' });
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.setViewport(VIEW);
  await page.goto(address);
  await page.waitForFunction(
    "document.documentElement.dataset.ready !== undefined || !document.getElementById('alert').hidden",
  );
  const alert = await page.evaluate(
    "document.getElementById('alert').hidden ? '' : document.querySelector('#alert p').innerText",
  );
  if (alert) throw new Error(`the demo does not start: ${alert}`);
  return page;
}

/** Clicks "Append in all tabs" in the first tab and waits until every tab has sent its share. */
async function appendTogether(pages) {
  await pages[0].waitForFunction(
    `document.getElementById('append-all').textContent.includes('all ${pages.length} tabs')`,
  );
  const start = performance.now();
  await pages[0].click('#append-all');
  const over = "['done', 'failed', 'stopped'].includes(demo.job.state)";
  await Promise.all(
    pages.map((page) => page.waitForFunction(over, { timeout: JOB_TIMEOUT_MS, polling: 20 })),
  );
  const ms = performance.now() - start;
  // A queued frame is durable, not yet in the table: wait until each was applied.
  const applied = 'demo.outcomes.every(({ code, committed }) => code || committed)';
  await Promise.all(pages.map((page) => page.waitForFunction(applied, { timeout: JOB_TIMEOUT_MS })));
  return ms;
}

/** What a tab sent: its rows, and a line for each path that its frames took. */
const readTab = (page) =>
  page.evaluate(async () => {
    const { summarize } = await import('/receipts.js');
    const { state, total } = demo.job;
    return { state, sent: total, paths: summarize(demo.outcomes).filter(({ frames }) => frames > 0) };
  });

/** Downloads the database with the page's button, as a visitor would; the path of the file. */
async function download(page, folder) {
  const session = await page.createCDPSession();
  await session.send('Browser.setDownloadBehavior', {
    behavior: 'allow',
    downloadPath: folder,
    eventsEnabled: true,
  });
  const done = new Promise((resolve, reject) => {
    session.on('Browser.downloadProgress', ({ state }) => {
      if (state === 'completed') resolve();
      else if (state === 'canceled') reject(new Error('the download was cancelled'));
    });
  });
  await page.click('#download');
  await Promise.race([
    done,
    sleep(30_000, undefined, { ref: false }).then(() => Promise.reject(new Error('no download within 30 s'))),
  ]);
  return join(folder, 'flights.sqlite3');
}

function sqlite3(file, sql) {
  const shown = spawnSync('sqlite3', ['-readonly', file, sql], { encoding: 'utf8' });
  if (shown.status !== 0) throw new Error(`sqlite3: ${shown.error?.message ?? shown.stderr}`);
  return shown.stdout.trim();
}

/** For the picture: the first tab appends while another one holds the lock, and stops soon after. */
async function contend(pages) {
  await pages[1].click('#hold');
  await pages[1].waitForFunction("document.getElementById('hold').textContent.startsWith('Holding')");
  await pages[0].click('#append-here');
  await pages[1].waitForFunction("document.getElementById('hold').textContent.startsWith('Hold ')");
  await pages[0].waitForFunction("demo.outcomes.at(-1).path === 'direct'", { polling: 10 });
  await pages[0].evaluate("document.getElementById('stop').click()");
  await pages[0].waitForFunction("demo.job.state !== 'running'");
  await sleep(2500);
}

async function picture(page, path) {
  mkdirSync(dirname(path), { recursive: true });
  await page.bringToFront();
  await page.screenshot({ path, optimizeForSpeed: false });
}

const number = (n) => n.toLocaleString('en');
const ms = (n) => (n === undefined ? '–' : `${n.toFixed(1)} ms`);

/** Prints rows of cells in columns: the first two to the left, the others to the right. */
function printTable(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  for (const row of rows) {
    console.log(
      row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i] + 2))).join(' '),
    );
  }
}

function printReceipts(tabs) {
  const head = ['tab', 'path', 'frames', 'rows', 'attempts', 'p50 wait', 'p99 wait'];
  const lines = tabs.flatMap(({ paths }, i) =>
    paths.map(({ path, frames, rows, attempts, p50, p99 }) => [
      `tab ${i + 1}`,
      path,
      number(frames),
      number(rows),
      number(attempts),
      ms(p50),
      ms(p99),
    ]),
  );
  printTable([head, ...lines]);
}

/**
 * Runs the main job against a server of the demo, prints what was seen and saves a picture. Returns whether all was
 * well: every tab done, every row found once, the file whole and no error in any tab.
 */
export async function runHeadless(origin, { screenshot = join(root, 'screenshots', 'demo.png') } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'framelock-start-'));
  const executablePath = browserPaths().chromium;
  if (!executablePath) throw new Error('no chromium here; run "npm run setup"');
  const browser = await puppeteer.launch({
    executablePath,
    headless: true,
    userDataDir: join(folder, 'profile'),
    args: CHROMIUM_ARGS,
  });
  try {
    const errors = [];
    const pages = [];
    for (let i = 0; i < TABS; i++) pages.push(await openTab(browser, `${origin}/`, errors));
    console.log(`${TABS} tabs of ${await browser.version()} append the flights together`);
    const tookMs = await appendTogether(pages);
    const tabs = await Promise.all(pages.map(readTab));
    printReceipts(tabs);

    const sent = tabs.reduce((sum, tab) => sum + tab.sent, 0);
    const file = await download(pages[0], folder);
    const found = Number(sqlite3(file, 'SELECT count(*) FROM flights'));
    const integrity = sqlite3(file, 'PRAGMA integrity_check');
    const size = readFileSync(file).length;
    console.log(`rows found ${number(found)}, sent ${number(sent)}${found === sent ? '' : ': NOT EQUAL'}`);
    console.log(`integrity_check by sqlite3 ${sqlite3(file, 'SELECT sqlite_version()')}: ${integrity}`);
    const rate = Math.round((sent / tookMs) * 1000);
    console.log(
      `${number(rate)} rows/s over all tabs (${(tookMs / 1000).toFixed(2)} s); file ${number(size)} bytes`,
    );

    await contend(pages);
    await picture(pages[0], screenshot);
    console.log(
      `screenshot: ${screenshot.startsWith(root) ? screenshot.slice(root.length + 1) : screenshot}`,
    );
    for (const [i, { state }] of tabs.entries()) if (state !== 'done') errors.push(`tab ${i + 1} ${state}`);
    for (const error of errors) console.log(`error: ${error}`);
    return sent > 0 && found === sent && integrity === 'ok' && errors.length === 0;
  } finally {
    await Promise.race([browser.close().catch(() => {}), sleep(5000)]);
    browser.process()?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}
