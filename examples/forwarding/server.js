// `npm start`: the page, framelock's files, and the handler that takes forwarded frames, on one port.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createFrameHandler, toNodeListener } from 'framelock/server';
import { openEngine } from './database.js';

const { name, engine, query } = await openEngine();

/** Who may write. A real one looks the token up; this one knows two. */
const USERS = { 'token-of-ann': 'ann', 'token-of-ben': 'ben' };

const frames = toNodeListener(
  createFrameHandler({
    engine,
    tables: { ticks: {} },
    schema: 'create',
    authorize(request) {
      const tenant = USERS[request.headers.get('Authorization')?.replace('Bearer ', '')];
      return tenant ? { tenant, constants: { tenant } } : 'UNAUTHENTICATED';
    },
  }),
);

/** What the server has, so that the page can show it. */
async function summary(response) {
  const [{ there }] = await query("SELECT to_regclass('ticks') IS NOT NULL AS there");
  const counts = 'SELECT count(*)::int AS rows, coalesce(sum(qty), 0)::float8 AS qty FROM ticks';
  const [found] = there ? await query(counts) : [{ rows: 0, qty: 0 }];
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(found));
}

const here = fileURLToPath(new URL('.', import.meta.url));
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
};
const FOLDERS = { '/framelock/': fileURLToPath(new URL('.', import.meta.resolve('framelock'))) };

async function file(path, response) {
  const [prefix, folder] = Object.entries(FOLDERS).find(([prefix]) => path.startsWith(prefix)) ?? [
    '/',
    `${here}page/`,
  ];
  const name = normalize(path.slice(prefix.length) || 'index.html');
  try {
    if (name.startsWith('..')) throw new Error('outside');
    const bytes = await readFile(join(folder, name));
    const type = TYPES[extname(name)] ?? 'application/octet-stream';
    const policy = "default-src 'self'; img-src data:; script-src 'self' 'wasm-unsafe-eval'";
    response.writeHead(200, { 'Content-Type': type, 'Content-Security-Policy': policy }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (pathname.startsWith('/sync/')) frames(request, response);
  else if (pathname === '/summary') summary(response).catch(() => response.writeHead(500).end());
  else file(pathname, response);
});
server.listen(Number(process.env.PORT ?? 8788), () => {
  console.log(`http://localhost:${server.address().port}/ with ${name} behind it`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
