// The page: rows are appended whether the server can be reached or not, and reach it as soon as it can be.
import { openDatabase } from './framelock/index.js';

const element = (id) => document.getElementById(id);
const show = (where, { rows, qty }) => {
  element(`${where}-rows`).textContent = rows;
  element(`${where}-qty`).textContent = qty;
};

const db = await openDatabase('forwarding', {
  forward: { url: '/sync', getToken: () => 'token-of-ann', tables: ['ticks'] },
});

async function refresh() {
  const tables = await db.query("SELECT 1 FROM sqlite_schema WHERE name = 'ticks'");
  const sql = 'SELECT count(*) AS rows, coalesce(sum(qty), 0) AS qty FROM ticks';
  show('local', tables.length ? (await db.query(sql))[0] : { rows: 0, qty: 0 });
  element('pending').textContent = (await db.status()).forwarding.pending;
  const summary = await fetch('/summary').catch(() => null);
  if (summary?.ok) show('remote', await summary.json());
}

element('append').addEventListener('click', async () => {
  const n = 100;
  await db.appendFrame('ticks', {
    at: Array.from({ length: n }, () => new Date()),
    qty: Int32Array.from({ length: n }, (_, i) => i),
  });
  await refresh();
});
element('reachable').addEventListener('change', ({ target }) =>
  target.checked ? db.forwarding.resume() : db.forwarding.pause(),
);
db.on('forward', refresh);
db.on('commit', refresh);
element('append').disabled = false;
await refresh();
