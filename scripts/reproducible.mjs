// `npm run reproducible`: builds what is committed twice, in two folders of different names and without a cache of
// compiled crates, packs both, and compares every file. Some minutes; the same tools on the same machine make the same
// bytes, and no byte knows where it was made.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setUp } from './setup.mjs';
import { root, run } from './toolchain.mjs';

/** A build of a commit in a folder of its own. Gives the digest of every file that is packed. */
async function buildIn(folder, commit) {
  mkdirSync(join(folder, '.cache'), { recursive: true });
  const archive = join(folder, '.cache', 'source.tar');
  await run('git', ['archive', '--output', archive, commit]);
  await run('tar', ['-xf', archive, '-C', folder]);
  // Tools, not products.
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const cargo = join(root, '.cache', 'cargo');
  if (existsSync(cargo)) symlinkSync(cargo, join(folder, '.cache', 'cargo'));
  // Into the folder itself: one that the caller names for all his builds is a cache.
  const env = { ...process.env, CARGO_TARGET_DIR: undefined };
  await run('node', [join(folder, 'scripts', 'build.mjs')], { cwd: folder, env });
  const packed = join(folder, '.cache', 'packed');
  mkdirSync(packed);
  const args = ['pack', '--silent', '--pack-destination', packed];
  const { status, stderr } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm pack: ${stderr}`);
  const [tarball] = readdirSync(packed);
  await run('tar', ['-xzf', join(packed, tarball), '-C', packed]);
  return digests(packed);
}

/** SHA-256 of every file below a folder. */
function digests(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
  const digest = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
  return new Map(paths.map((path) => [path.slice(folder.length + 1), digest(path)]));
}

await setUp();
// Named once: somebody may commit between the two builds.
const commit = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' }).stdout.trim();
const folder = mkdtempSync(join(tmpdir(), 'framelock-reproducible-'));
try {
  const first = await buildIn(join(folder, 'first'), commit);
  const second = await buildIn(join(folder, 'another-name', 'second'), commit);
  const names = [...new Set([...first.keys(), ...second.keys()])];
  const different = names.filter((name) => first.get(name) !== second.get(name));
  for (const name of different) console.error(`different: ${name}`);
  if (different.length) process.exitCode = 1;
  else console.log(`the same bytes twice: ${names.length} files`);
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
