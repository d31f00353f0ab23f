// A static file server for the demo, the tests and the benchmarks. It serves files as any host would: right MIME
// types, the CSP that the package promises to run under, no COOP and no COEP, nothing that a browser may keep.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';
import { pipeline } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { offlineScript } from './offline.mjs';
import { root } from './toolchain.mjs';

/** What the README promises to be enough. */
export const CSP = "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";

const MIME = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
  '.arrow': 'application/vnd.apache.arrow.file',
};

/** URL prefixes and their folders; the longest prefix that fits wins. */
const ROOTS = {
  '/': 'www/demo',
  '/dist/': 'dist',
  '/bench/': 'www/bench',
  '/vega-datasets/': 'node_modules/vega-datasets/data',
  '/node_modules/': 'node_modules',
  '/tests/': 'tests',
};

/** A page with nothing on it, for tests: any address under /blank. */
const BLANK = '<!doctype html><meta charset="utf-8"><title>framelock</title><link rel="icon" href="data:,">';

/** The file that an address means; undefined for one that leaves its folder. */
function fileOf(pathname, roots) {
  const prefixes = Object.keys(roots).filter((candidate) => pathname.startsWith(candidate));
  const prefix = prefixes.sort((a, b) => b.length - a.length)[0];
  if (prefix === undefined) return undefined;
  const folder = join(root, roots[prefix]);
  const file = normalize(join(folder, pathname.slice(prefix.length)));
  if (file !== folder && !file.startsWith(folder + sep)) return undefined;
  return file;
}

async function answer(request, response, roots) {
  response.setHeader('Content-Security-Policy', CSP);
  response.setHeader('Cache-Control', 'no-store');
  const end = (status, body, type) => {
    response.writeHead(status, { 'Content-Type': type }).end(request.method === 'HEAD' ? undefined : body);
  };
  const plain = (status, body) => end(status, body, 'text/plain; charset=utf-8');
  if (request.method !== 'GET' && request.method !== 'HEAD') return plain(405, 'only GET and HEAD\n');
  let pathname;
  try {
    ({ pathname } = new URL(request.url, 'http://localhost'));
    pathname = decodeURIComponent(pathname);
  } catch {
    return plain(400, 'not an address\n');
  }
  if (pathname === '/blank' || pathname.startsWith('/blank/')) return end(200, BLANK, MIME['.html']);
  if (pathname === '/offline-files.js') return end(200, offlineScript(), MIME['.js']);
  let file = pathname.includes('\0') ? undefined : fileOf(pathname, roots);
  let found = file && (await stat(file).catch(() => undefined));
  if (found?.isDirectory()) {
    file = join(file, 'index.html');
    found = await stat(file).catch(() => undefined);
  }
  if (!found?.isFile()) return plain(404, 'not found\n');
  const type = MIME[extname(file).toLowerCase()] ?? 'application/octet-stream';
  response.writeHead(200, { 'Content-Type': type, 'Content-Length': found.size });
  if (request.method === 'HEAD') return response.end();
  // A reader that goes away, or a file that shrinks, ends this answer and nothing else.
  pipeline(createReadStream(file), response, () => {});
}

/**
 * Starts a server on 127.0.0.1. Port 0 takes any free one. `roots` adds folders to the project's own; `intercept` may
 * answer a request by itself by returning true.
 */
export async function serve({ port = 0, roots = {}, intercept = () => false } = {}) {
  const all = { ...ROOTS, ...roots };
  const server = createServer((request, response) => {
    if (intercept(request, response)) return;
    answer(request, response, all).catch((error) => response.destroy(error));
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { origin } = await serve({ port: Number(process.env.PORT ?? 8080) });
  console.log(`serving ${origin}/`);
}
