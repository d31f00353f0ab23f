// The native contenders: a Python environment of their own under .cache, made once, and one run of native.py.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as flechette from '@uwdata/flechette';
import { root } from '../../../scripts/toolchain.mjs';
import { makeColumns, toArrow } from '../frame.js';

const PACKAGES = [
  'pandas==3.1.1',
  'pyarrow==26.0.1',
  'adbc-driver-sqlite==1.13.0',
  'adbc-driver-manager==1.13.0',
];

export const NATIVE = {
  'native-adbc': { title: 'native ADBC SQLite ingest' },
  'native-executemany': { title: 'native Python executemany' },
  'native-pandas': { title: 'native pandas to_sql' },
};

function run(command, args) {
  const shown = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (shown.status !== 0) throw new Error(`${command} ${args[0]}: ${shown.stderr?.trim() || shown.error}`);
  return shown.stdout;
}

/** The Python of the environment, made on first use. */
function python() {
  const folder = join(root, '.cache', 'bench-python');
  const path = join(folder, 'bin', 'python');
  const ready = join(folder, 'ready');
  if (!existsSync(ready)) {
    rmSync(folder, { recursive: true, force: true });
    run('python3', ['-m', 'venv', folder]);
    run(path, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PACKAGES]);
    writeFileSync(ready, PACKAGES.join('\n'));
  }
  return path;
}

/** Times the native contenders on the same frame, on the same disk as the browsers' profiles. */
export function runNative({ rows, rounds }) {
  const path = python();
  const parent = join(root, '.cache', 'bench');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'native-'));
  try {
    const source = join(folder, 'frame.arrows');
    writeFileSync(source, toArrow(makeColumns({ rows, seed: 1 }), flechette));
    const script = fileURLToPath(new URL('native.py', import.meta.url));
    return JSON.parse(run(path, [script, source, folder, String(rounds)]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
