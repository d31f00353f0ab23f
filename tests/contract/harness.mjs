// Real browsers for the contract tests: Debian's Chromium and Firefox, headless, each with a profile on disk of its
// own (an incognito context keeps OPFS in memory), several tabs that behave as if they were all in front.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe } from 'node:test';
import puppeteer from 'puppeteer-core';
import { serve } from '../../scripts/serve.mjs';
import { browserPaths } from '../../scripts/toolchain.mjs';
import { decode, encode } from './codec.mjs';

/** The browsers to test in: BROWSER=chromium or BROWSER=firefox takes one. */
export const BROWSERS = (process.env.BROWSER ?? 'chromium,firefox').split(',');

/** FRAMELOCK_DIST tests another build: a folder, relative to the repository. */
const OTHER_DIST = process.env.FRAMELOCK_DIST ? { '/dist/': process.env.FRAMELOCK_DIST } : {};

const CHROMIUM_ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Tabs behind others run at full speed and are not taken for hidden.
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  // A renderer for each tab, so that killing one leaves the others alone. The address bar's popup is a page, too, and
  // loads for a second of processor time with each window.
  '--disable-features=ProcessPerSiteUpToMainFrameThreshold,Translate,MediaRouter,WebUIOmniboxPopup,WebUIOmniboxAimPopup',
  '--renderer-process-limit=100',
];

const FIREFOX_PREFS = {
  // A content process for each tab.
  'dom.ipc.processCount': 32,
  'dom.ipc.processCount.webIsolated': 32,
  'dom.ipc.processPrelaunch.enabled': false,
  // Tabs behind others run at full speed.
  'dom.min_background_timeout_value': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
  // A killed content process is part of a test, not a case for a report.
  'browser.tabs.crashReporting.sendReport': false,
  'toolkit.asyncshutdown.log': false,
};

/** A promise and the function that rejects it. */
function deferred() {
  let reject;
  const promise = new Promise((_, r) => (reject = r));
  return { promise, reject };
}

/** The processes below a process, from /proc. */
function descendants(pid) {
  const parents = new Map();
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const stat = procStat(entry);
    if (stat) parents.set(Number(entry), Number(stat[1]));
  }
  const found = [];
  for (const child of parents.keys()) {
    for (let up = child; up; up = parents.get(up)) {
      if (up !== pid) continue;
      if (child !== pid) found.push(child);
      break;
    }
  }
  return found;
}

/** The fields of /proc/PID/stat after the command, or undefined when the process is gone. */
function procStat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Whether a process is Chromium's or Firefox's for pages. */
function isRenderer(pid) {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split(/[\0 ]/);
    return words.includes('--type=renderer') || (words.includes('-contentproc') && words.includes('tab'));
  } catch {
    return false;
  }
}

/** Processor time of a process, in clock ticks of 10 ms. */
const ticks = (pid) => {
  const stat = procStat(pid);
  return stat ? Number(stat[11]) + Number(stat[12]) : 0;
};

/** Runs in the page: calls `fn` with decoded arguments and sends back what came of it as text. */
const driver = async (fn, args) => {
  const { decode, encode, errorDetails } = await import('/tests/contract/codec.mjs');
  try {
    return encode({ value: await fn(...decode(args)) });
  } catch (error) {
    return encode({ error: errorDetails(error) });
  }
};

/** A tab with `framelock` imported as a global. */
export class Tab {
  /** Rejects when the tab is killed: the driver's own promises would never settle. */
  #killed = deferred();

  constructor(browser, page) {
    this.browser = browser;
    this.page = page;
    /** What the page and its workers wrote to the console as errors, and what nobody caught. */
    this.errors = [];
    page.on('console', (message) => message.type() === 'error' && this.errors.push(message.text()));
    page.on('pageerror', (error) => this.errors.push(String(error)));
    page.on('error', () => {
      this.crashed = true;
      this.#killed.reject(new Error('the tab crashed'));
    });
    this.#killed.promise.catch(() => {});
  }

  /** Loads the blank page and imports framelock into it. */
  async load(path = '/blank') {
    await this.page.goto(this.browser.origin + path);
    await this.page.evaluate(
      "import('/dist/index.js').then((module) => void (globalThis.framelock = module))",
    );
  }

  /**
   * Calls `fn(...args)` in the page, where `framelock` is the package. Bigints, dates and typed arrays pass both ways. An
   * error thrown there is thrown here with its code and details.
   */
  async run(fn, ...args) {
    const answer = this.page.evaluate(`(${driver})(${fn}, ${JSON.stringify(encode(args))})`);
    const text = await Promise.race([answer, this.#killed.promise]);
    const { value, error } = decode(text);
    if (error) {
      // A trap's own words are on the console only; a test that fails shows them.
      const seen = this.errors.length ? { console: this.errors.slice(-5) } : {};
      throw Object.assign(new Error(error.message), error, seen);
    }
    return value;
  }

  /** Calls `fn` in the page for the bytes of a file, and stores them. Returns the local path. */
  async download(fn, ...args) {
    const path = `/upload/${++this.browser.uploads}`;
    const upload = `async (path, ...args) => {
      const bytes = await (${fn})(...args);
      const { status } = await fetch(path, { method: 'PUT', body: bytes });
      if (status !== 204) throw new Error('upload: status ' + status);
    }`;
    await this.run(upload, path, ...args);
    return this.browser.fileOf(path);
  }

  /** The process that renders this tab: the renderer that works when the page works. Ask while the tabs are idle. */
  async processId() {
    let work;
    for (let ms = 300; ms < 5000; ms *= 1.5) {
      const pids = renderers(this.browser);
      const before = new Map(pids.map((pid) => [pid, ticks(pid)]));
      await this.page.evaluate(`{ const end = performance.now() + ${ms}; while (performance.now() < end); }`);
      work = pids.map((pid) => [ticks(pid) - before.get(pid), pid]).sort((a, b) => b[0] - a[0]);
      // The machine's other work may take most of the time; a tab that is still loading takes some too.
      const [most, next] = [work[0]?.[0] ?? 0, work[1]?.[0] ?? 0];
      if (most >= 6 && most >= 3 * next) return work[0][1];
    }
    throw new Error(`whose work was the page's? ${work.slice(0, 3)}`);
  }

  /** Kills the tab's renderer with SIGKILL. `pid` comes from `processId()` at a quiet moment. */
  async kill(pid) {
    process.kill(pid, 'SIGKILL');
    this.#killed.reject(new Error('the tab was killed'));
    const lives = () => (procStat(pid)?.[0] ?? 'Z') !== 'Z';
    for (let i = 0; i < 200 && lives(); i++) await sleep(5);
    if (this.browser.name !== 'chromium') return; // Firefox tells nobody over BiDi.
    for (let i = 0; i < 1000 && !this.crashed; i++) await sleep(5);
    if (!this.crashed) throw new Error(`process ${pid} was another tab's`);
  }

  /** Closes the tab as a visitor would; no question is asked. */
  close() {
    return this.page.close();
  }
}

/** A browser with a server of its own. */
export class Browser {
  constructor(name, handle, server, folder) {
    this.name = name;
    this.handle = handle;
    this.process = handle.process();
    this.server = server;
    this.origin = server.origin;
    this.folder = folder;
    this.uploads = 0;
  }

  /** Opens a tab; each is a window of its own, so that none is behind another. */
  async newTab(path) {
    const page = await this.handle.newPage({ type: 'window' });
    const tab = new Tab(this, page);
    await tab.load(path);
    return tab;
  }

  /** Where an upload was stored. */
  fileOf(path) {
    return join(this.folder, path.replaceAll('/', '_'));
  }

  /** Ends the browser and removes its profile. */
  async close() {
    const { process: child } = this;
    await Promise.race([this.handle.close().catch(() => {}), sleep(5000)]);
    if (child.exitCode === null) child.kill('SIGKILL');
    await this.server.close();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

/** Stores what a page PUTs to /upload/… in the browser's folder. */
function takeUploads(folder) {
  return (request, response) => {
    if (request.method !== 'PUT' || !/^\/upload\/\d+$/.test(request.url)) return false;
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      writeFileSync(join(folder, request.url.replaceAll('/', '_')), Buffer.concat(parts));
      response.writeHead(204).end();
    });
    return true;
  };
}

/** Starts a browser by name. `intercept` may answer requests of the pages; `env` adds to the environment. */
export async function launch(name, { intercept = () => false, args = [], prefs = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), `framelock-${name}-`));
  const upload = takeUploads(folder);
  const server = await serve({
    roots: OTHER_DIST,
    intercept: (...both) => upload(...both) || intercept(...both),
  });
  const executablePath = browserPaths()[name];
  if (!executablePath) throw new Error(`no ${name} here; run "npm run setup"`);
  const handle = await puppeteer.launch({
    browser: name === 'firefox' ? 'firefox' : 'chrome',
    executablePath,
    headless: true,
    userDataDir: join(folder, 'profile'),
    args: name === 'firefox' ? args : [...CHROMIUM_ARGS, ...args],
    extraPrefsFirefox: { ...FIREFOX_PREFS, ...prefs },
    protocolTimeout: 120_000,
  });
  return new Browser(name, handle, server, folder);
}

/** The browser's processes for pages. */
export const renderers = (browser) => descendants(browser.process.pid).filter(isRenderer);

/** The memory of the browser's largest process for pages, in MB. */
export function largestTabMb(browser) {
  const pages = renderers(browser);
  // Resident pages of 4 KiB.
  return Math.max(...pages.map((pid) => Number(procStat(pid)?.[21] ?? 0))) / 256;
}

/** Milliseconds that the workers of a process have had a processor; in Chromium, whose threads are named so. */
export function workersMs(pid) {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`);
  const workers = threads.filter((thread) =>
    readFileSync(`${thread}/comm`, 'utf8').startsWith('DedicatedWorker'),
  );
  const times = workers.map((thread) => Number(readFileSync(`${thread}/schedstat`, 'utf8').split(' ')[0]));
  return times.reduce((sum, ns) => sum + ns / 1e6, 0);
}

/**
 * Declares the tests of one file once for each browser. `declare` is given an object whose `browser` is there when the
 * tests run.
 */
export function inBrowsers(declare, options) {
  for (const name of BROWSERS) {
    describe(name, () => {
      const context = { name, browser: undefined };
      before(async () => {
        context.browser = await launch(name, options);
      });
      after(() => context.browser?.close());
      declare(context);
    });
  }
}

/** Runs SQL on a database file in the sqlite3 command line and returns what it printed. */
export function sqlite3(file, sql) {
  const shown = spawnSync('sqlite3', ['-readonly', file, sql], { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (shown.status !== 0) throw new Error(`sqlite3 ${sql}: ${shown.stderr}`);
  return shown.stdout.trim();
}
