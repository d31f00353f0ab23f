// The two torture runs: many writers while backends are killed, answers lost, requests doubled; and a primary that is
// killed while writers write, with a synchronous standby that takes over. What is counted at the end is rows.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { createFrameHandler, postgres } from '../../dist/server/index.js';
import { listen } from './listen.mjs';
import { Cluster, folderFor, freePort, runProgram } from './postgres.mjs';
import { sendAll } from './sender.mjs';
import { authorize } from './wire.mjs';

const newCounts = () => ({ requests: 0, lostRequests: 0, lostAnswers: 0, twins: 0, rewinds: 0, answers: {} });

/** A server on a pool; nothing is limited but by the database. */
async function serve(pool, causes) {
  const limits = { requestsPerSecond: 1e6, maxConcurrent: 64, maxConcurrentPerTenant: 64 };
  const onError = (error) => {
    const cause = error?.code ?? error?.message ?? String(error);
    causes.set(cause, (causes.get(cause) ?? 0) + 1);
  };
  const handler = createFrameHandler({
    engine: postgres(pool),
    authorize,
    tables: { ticks: {} },
    schema: 'create',
    limits,
    onError,
  });
  return listen(handler);
}

/** Every row of every item of every writer, once: the number of rows when it is so. */
async function countRows(pool, { writers, items, rows }) {
  const { rows: found } = await pool.query(
    `SELECT count(*)::int AS rows, count(DISTINCT (writer, item, row))::int AS different,
      count(*) FILTER (WHERE writer < $1 AND item BETWEEN 1 AND $2 AND row < $3 AND price = row + item / 1000.0::float8)::int
      AS right
    FROM ticks`,
    [writers, items, rows],
  );
  const all = writers * items * rows;
  assert.deepEqual(found, [{ rows: all, different: all, right: all }]);
  const { rows: streams } = await pool.query(
    'SELECT count(*)::int AS n FROM framelock_streams WHERE last_seq = $1',
    [items],
  );
  assert.equal(streams[0].n, writers);
  return all;
}

/** Ends a random backend of the server every so often. */
function killer(cluster, everyMs) {
  const client = new pg.Client({ ...cluster.config(), application_name: 'killer' });
  client.on('error', () => undefined);
  let killed = 0;
  let going = true;
  const done = (async () => {
    await client.connect();
    while (going) {
      const { rowCount } = await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'server' ORDER BY random() LIMIT 1`,
      );
      killed += rowCount;
      await sleep(everyMs);
    }
    await client.end();
  })();
  return async () => {
    going = false;
    await done;
    return killed;
  };
}

/** Writers while backends are killed. */
export async function killedBackends({ writers, items, rows, everyMs = 15, deadlineMs = 300_000 }) {
  const cluster = await Cluster.start();
  let web;
  try {
    const causes = new Map();
    const pool = cluster.pool({ application_name: 'server', max: writers });
    web = await serve(pool, causes);
    const counts = newCounts();
    const stop = killer(cluster, everyMs);
    const start = performance.now();
    const deadline = Date.now() + deadlineMs;
    let killed;
    try {
      const numbers = Array.from({ length: writers }, (_, writer) => writer);
      await Promise.all(
        numbers.map((writer) => sendAll({ base: web.base, writer, items, rows, deadline, counts })),
      );
    } finally {
      killed = await stop();
    }
    const seconds = (performance.now() - start) / 1000;
    const found = await countRows(cluster.pool(), { writers, items, rows });
    return {
      rows: found,
      of: writers * items * rows,
      killed,
      seconds,
      counts,
      causes: Object.fromEntries(causes),
    };
  } finally {
    await web?.close();
    await cluster.stop();
  }
}

/** A port that leads to wherever `target` says: the address that stays when the server behind it changes. */
async function detour(target) {
  const sockets = new Set();
  const server = createServer((inside) => {
    const outside = connect(target.port, '127.0.0.1');
    for (const [from, to] of [
      [inside, outside],
      [outside, inside],
    ]) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  return { port: server.address().port, close };
}

/** Writers across the primary's SIGKILL and the promotion of a synchronous standby. */
export async function failover({ writers, items, rows, deadlineMs = 300_000 }) {
  // Until there is a standby nothing waits for it.
  const primary = await Cluster.start({ wal_level: 'replica', max_wal_senders: '4' });
  const standby = new Cluster(folderFor('standby'), await freePort());
  let web, way;
  try {
    const [host, port, user] = ['127.0.0.1', String(primary.port), 'admin'];
    runProgram('pg_basebackup', [
      '-D',
      standby.data,
      '-h',
      host,
      '-p',
      port,
      '-U',
      user,
      '-R',
      '-X',
      'stream',
      '-c',
      'fast',
    ]);
    const conninfo = `host=${host} port=${port} user=${user} application_name=standby`;
    await standby.run({ primary_conninfo: conninfo, hot_standby: 'on' });
    await primary.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    await primary.query('SELECT pg_reload_conf()');
    for (;;) {
      const [state] = await primary.query(
        "SELECT sync_state FROM pg_stat_replication WHERE application_name = 'standby'",
      );
      if (state?.sync_state === 'sync') break;
      await sleep(50);
    }
    const target = { port: primary.port };
    way = await detour(target);
    const causes = new Map();
    // Its address is the detour's.
    const pool = standby.pool({
      port: way.port,
      application_name: 'server',
      max: writers,
      connectionTimeoutMillis: 2000,
    });
    web = await serve(pool, causes);
    const counts = newCounts();
    const start = performance.now();
    const deadline = Date.now() + deadlineMs;
    const numbers = Array.from({ length: writers }, (_, writer) => writer);
    const sending = Promise.all(
      numbers.map((writer) => sendAll({ base: web.base, writer, items, rows, deadline, counts })),
    );
    const half = async () => {
      for (;;) {
        const [{ n }] = await primary
          .query('SELECT coalesce(sum(last_seq), 0)::int AS n FROM framelock_streams')
          .catch(() => [{ n: 0 }]);
        if (n >= (writers * items) / 2) return n;
        await sleep(20);
      }
    };
    const before = await Promise.race([half(), sending.then(() => -1)]);
    assert.notEqual(before, -1, 'the writers were done before the primary was killed');
    await primary.end('SIGKILL');
    await sleep(300);
    const promoted = await standby.query('SELECT pg_promote(true, 60) AS ok');
    assert.equal(promoted[0].ok, true);
    target.port = standby.port;
    await sending;
    const seconds = (performance.now() - start) / 1000;
    const found = await countRows(standby.pool(), { writers, items, rows });
    return {
      rows: found,
      of: writers * items * rows,
      before,
      seconds,
      counts,
      causes: Object.fromEntries(causes),
    };
  } finally {
    await web?.close();
    await way?.close();
    await standby.stop();
    await primary.stop();
  }
}
