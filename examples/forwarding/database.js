// The database behind the server: the one that DATABASE_URL names; else an installed PostgreSQL with a cluster of its
// own in ./data; else PGlite, which is PostgreSQL inside this very process. For production only the first will do.
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pglite, postgres } from 'framelock/server';

// PostgreSQL's own user may not be able to enter root's folders.
const here = process.getuid() === 0 ? join(tmpdir(), 'framelock-forwarding') : import.meta.dirname;
const data = process.env.DATA ?? join(here, 'data');

/** Debian's folders for PostgreSQL's programs, the newest first, then the PATH. */
function findPostgres() {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...process.env.PATH.split(':'),
  ];
  return folders.find((folder) => existsSync(join(folder, 'initdb')));
}

/** PostgreSQL refuses to run as root: there it runs as its own user, if there is one. */
function owner() {
  if (process.getuid() !== 0) return {};
  const id = (flag) => Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout);
  return id('-u') ? { uid: id('-u'), gid: id('-g') } : null;
}

async function startPostgres(bin, user) {
  const cluster = join(data, 'postgres');
  mkdirSync(data, { recursive: true });
  if (user.uid) chownSync(data, user.uid, user.gid);
  const options = { ...user, cwd: '/', encoding: 'utf8' };
  if (!existsSync(cluster)) {
    const args = ['-D', cluster, '-U', 'app', '-A', 'trust', '-E', 'UTF8'];
    const { status, stderr } = spawnSync(join(bin, 'initdb'), args, options);
    if (status !== 0) throw new Error(stderr);
  }
  const port = Number(process.env.PGPORT ?? 54329);
  const settings = ['-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${data}`];
  const server = spawn(join(bin, 'postgres'), ['-D', cluster, '-p', String(port), ...settings], {
    ...options,
    stdio: 'ignore',
  });
  process.on('exit', () => server.kill('SIGINT'));
  return { host: '127.0.0.1', port, user: 'app', database: 'postgres' };
}

/** A pool that answers. */
async function connect(config) {
  const { default: pg } = await import('pg');
  const pool = new pg.Pool(config);
  for (let tries = 1; ; tries++) {
    try {
      await pool.query('SELECT 1');
      return pool;
    } catch (error) {
      if (tries === 100) throw error;
      await sleep(100);
    }
  }
}

/** The engine for the handler, and a way to ask the same database. */
export async function openEngine() {
  const { DATABASE_URL } = process.env;
  const [bin, user] = [findPostgres(), owner()];
  if (DATABASE_URL || (bin && user && process.env.ENGINE !== 'pglite')) {
    const pool = await connect(
      DATABASE_URL ? { connectionString: DATABASE_URL } : await startPostgres(bin, user),
    );
    const query = async (sql) => (await pool.query(sql)).rows;
    return { name: 'PostgreSQL', engine: postgres(pool), query };
  }
  const { PGlite } = await import('@electric-sql/pglite');
  const db = await PGlite.create(join(data, 'pglite'));
  return { name: 'PGlite', engine: pglite(db), query: async (sql) => (await db.query(sql)).rows };
}
