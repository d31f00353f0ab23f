// A real PostgreSQL for tests: a cluster of its own in a temporary folder, from the installed binaries, on a socket
// and a free loopback port; gone when the test ends. PostgreSQL refuses to run as root: there it runs as the user
// `postgres`, else `nobody`.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { which } from '../../scripts/toolchain.mjs';

/** The folder of initdb and postgres: Debian keeps them off the PATH. */
export function binaries() {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const found = versions.map((version) => join(debian, version, 'bin', 'initdb')).find(existsSync);
  const initdb = found ?? which('initdb');
  if (!initdb) throw new Error('no PostgreSQL here; npm run setup installs one');
  return dirname(initdb);
}

/** Whom the server runs as: undefined for whoever runs the tests. */
function user() {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const { status, stdout } = spawnSync('id', [name], { encoding: 'utf8' });
    const [, uid, gid] = (status === 0 && stdout.match(/uid=(\d+).* gid=(\d+)/)) || [];
    if (uid) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('neither a user postgres nor a user nobody');
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A folder that the server may write. */
export function folderFor(purpose) {
  const folder = mkdtempSync(join(tmpdir(), `framelock-${purpose}-`));
  const owner = user();
  if (owner) chownSync(folder, owner.uid, owner.gid);
  return folder;
}

/** Runs one of PostgreSQL's programs to its end. */
export function runProgram(name, args, env = {}) {
  const { status, stderr } = spawnSync(join(binaries(), name), args, {
    ...user(),
    cwd: '/',
    encoding: 'utf8',
    env: { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', ...env },
  });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
}

/** The lines of postgresql.conf that every test cluster has; a later line counts. */
const CONFIGURATION = {
  listen_addresses: '127.0.0.1',
  max_connections: 60,
  shared_buffers: '64MB',
  log_min_messages: 'panic',
  log_min_error_statement: 'panic',
};

/** A cluster that is not running yet; `from` is a folder that already holds one. */
export class Cluster {
  #child;
  /** Pools to end before the server does. */
  #pools = new Set();

  constructor(folder, port) {
    this.folder = folder;
    this.port = port;
  }

  /** Makes a cluster and starts it. `settings` are lines of postgresql.conf. */
  static async start(settings = {}) {
    const folder = folderFor('postgres');
    const cluster = new Cluster(folder, await freePort());
    const data = join(folder, 'data');
    runProgram('initdb', ['-D', data, '-U', 'admin', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '-N']);
    await cluster.run(settings);
    return cluster;
  }

  get data() {
    return join(this.folder, 'data');
  }

  /** Starts the server in the cluster's folder and waits until it answers. */
  async run(settings = {}) {
    const all = { ...CONFIGURATION, port: this.port, unix_socket_directories: this.folder, ...settings };
    const lines = Object.entries(all).map(([name, value]) => `${name} = '${value}'`);
    writeFileSync(join(this.data, 'postgresql.auto.conf'), `${lines.join('\n')}\n`);
    this.#child = spawn(join(binaries(), 'postgres'), ['-D', this.data], {
      ...user(),
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env.PATH, LC_ALL: 'C.UTF-8' },
    });
    // Whatever becomes of the test, no server outlives it.
    const child = this.#child;
    process.once('exit', () => child.kill('SIGINT'));
    let said = '';
    this.#child.stderr.on('data', (part) => (said = (said + part).slice(-4000)));
    const deadline = Date.now() + 30_000;
    for (;;) {
      if (this.#child.exitCode !== null) throw new Error(`postgres ended: ${said}`);
      const client = new pg.Client(this.config('admin'));
      client.on('error', () => undefined);
      try {
        await client.connect();
        return;
      } catch (error) {
        if (Date.now() > deadline) throw new Error(`postgres does not answer: ${said}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 50));
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }

  config(user = 'admin', database = 'postgres') {
    return { host: '127.0.0.1', port: this.port, user, database };
  }

  /** A pool that ends with the cluster. */
  pool(options = {}) {
    const pool = new pg.Pool({ ...this.config(), max: 8, ...options });
    pool.on('error', () => undefined);
    this.#pools.add(pool);
    return pool;
  }

  /** One statement on a connection of its own. */
  async query(text, values) {
    const client = new pg.Client(this.config());
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  get pid() {
    return Number(readFileSync(join(this.data, 'postmaster.pid'), 'utf8').split('\n')[0]);
  }

  /** Ends the server: SIGINT waits for nobody and leaves a clean folder, SIGKILL leaves what is there. */
  async end(signal = 'SIGINT') {
    if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
  }

  /** Ends the server and removes the folder. */
  async stop() {
    await Promise.all([...this.#pools].map((pool) => pool.end().catch(() => undefined)));
    await this.end();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

export { freePort };
