// A real browser for benchmarks: the tests' own launcher, with one page more and headers for the contender that needs
// cross-origin isolation.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { CSP } from '../../../scripts/serve.mjs';
import { launch } from '../../../tests/contract/harness.mjs';

/** duckdb-wasm's page half imports by bare names, with an apache-arrow of its own. */
const NESTED = '/node_modules/@duckdb/duckdb-wasm/node_modules/';
const IMPORTS = {
  'apache-arrow': `${NESTED}apache-arrow/Arrow.dom.mjs`,
  flatbuffers: `${NESTED}flatbuffers/mjs/flatbuffers.js`,
  tslib: '/node_modules/tslib/tslib.es6.mjs',
};

const MAP = JSON.stringify({ imports: IMPORTS });
const HASH = createHash('sha256').update(MAP).digest('base64');
const PAGE = `<!doctype html><meta charset="utf-8"><title>bench</title><link rel="icon" href="data:,">
<script type="importmap">${MAP}</script><script type="module" src="/bench/page.js"></script>`;

/** Pages and scripts that have to be isolated for sqlite-wasm's `opfs`: a page and every worker below it. */
const isolated = ({ url }) => url.includes('isolated') || url.startsWith('/node_modules/@sqlite.org/');

const MIME = { '.js': 'text/javascript; charset=utf-8', '.wasm': 'application/wasm' };

/** Answers for dist/ with the files of another build. */
function otherBuild(folder, request, response) {
  const [path] = request.url.split('?');
  if (!path.startsWith('/dist/') || path.includes('..')) return false;
  const headers = { 'Content-Type': MIME[extname(path)] ?? 'text/plain', 'Content-Security-Policy': CSP };
  response.writeHead(200, headers).end(readFileSync(join(folder, path.slice('/dist/'.length))));
  return true;
}

function intercept(request, response, dist) {
  if (dist && otherBuild(dist, request, response)) return true;
  if (isolated(request)) {
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
  }
  if (!request.url.startsWith('/bench/page')) return false;
  if (request.url.startsWith('/bench/page.js')) return false;
  response.setHeader('Content-Security-Policy', `script-src 'self' 'wasm-unsafe-eval' 'sha256-${HASH}'`);
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(PAGE);
  return true;
}

/** A tab with the bench page, and the calls into it. */
export class Visit {
  constructor(browser, page) {
    this.browser = browser;
    this.page = page;
    this.errors = [];
    page.on('console', (message) => message.type() === 'error' && this.errors.push(message.text()));
    page.on('pageerror', (error) => this.errors.push(String(error)));
  }

  /** Calls `bench[op](...args)` in the page. */
  async call(op, ...args) {
    try {
      return await this.page.evaluate(`globalThis.bench.${op}(...${JSON.stringify(args)})`);
    } catch (error) {
      const [said] = this.errors.slice(-1);
      const message = error.message.split('\n')[0];
      throw new Error(said && !message.includes(said) ? `${message} (console: ${said})` : message);
    }
  }

  run(workload, part, options) {
    return this.call('run', workload, part, options);
  }

  /** Bytes of every wasm memory in the page's workers; Chromium only. */
  async wasmMemory() {
    let bytes = 0;
    for (const { client } of this.page.workers()) {
      const { result } = await client.send('Runtime.evaluate', {
        expression: 'WebAssembly.Memory.prototype',
      });
      const { objects } = await client.send('Runtime.queryObjects', { prototypeObjectId: result.objectId });
      const functionDeclaration =
        'function () { return this.reduce((sum, m) => sum + m.buffer.byteLength, 0); }';
      const { objectId } = objects;
      const answer = await client.send('Runtime.callFunctionOn', {
        objectId,
        functionDeclaration,
        returnByValue: true,
      });
      bytes += answer.result.value;
    }
    return bytes;
  }

  async close() {
    await this.page.close();
  }
}

/** Starts a browser with a profile on disk, on this build or on the one in `dist`; `visit` opens a tab with a contender loaded, unless it is to load by itself. */
export async function startBrowser(name, { dist } = {}) {
  const browser = await launch(name, { intercept: (...both) => intercept(...both, dist) });
  const visit = async (
    contender,
    { isolated: apart = false, load = true, clean = false, ...options } = {},
  ) => {
    const page = await browser.handle.newPage({ type: 'window' });
    const opened = new Visit(browser, page);
    await page.goto(`${browser.origin}/bench/page.html${apart ? '?isolated' : ''}`);
    await page.waitForFunction('globalThis.bench !== undefined');
    if (clean) await opened.call('clean');
    if (load) await opened.call('load', contender, options);
    return opened;
  };
  const version = await browser.handle.version();
  return { name, version, visit, close: () => browser.close() };
}

/** What a page downloads to work with a contender: brotli bytes of all scripts and wasm, and of the wasm alone. */
export async function downloadSize(browser, contender, options) {
  const visit = await browser.visit(contender, { ...options, load: false, clean: true });
  const addresses = new Set();
  visit.page.on('request', (request) => addresses.add(request.url()));
  const seen = (await import('node:timers/promises')).setTimeout;
  await visit.call('load', contender);
  await visit.run('W4', 'prepare', { rows: 10 });
  await seen(300);
  await visit.close();
  let [all, wasm] = [0, 0];
  const counted = [];
  for (const address of addresses) {
    const { pathname, protocol } = new URL(address);
    if (protocol !== 'http:') continue;
    if (!/\/(dist|node_modules)\//.test(pathname) || pathname.includes('flechette')) continue;
    const bytes = Buffer.from(await (await fetch(address)).arrayBuffer());
    const size = brotliCompressSync(bytes).length;
    counted.push(pathname);
    all += size;
    if (/\.(wasm|data)$/.test(pathname)) wasm += size;
  }
  return { all, wasm, counted };
}
