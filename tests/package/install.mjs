// What the tests of the package stand on: the tarball as npm makes it, a fresh folder of apps in which npm installed
// it, and the bundlers and other tools, which npm installs once into .cache (they are no business of `npm ci`).
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../../scripts/toolchain.mjs';

const cache = join(root, '.cache');
const toolsSource = join(root, 'tests', 'package', 'tools');

/** Where the tools are. */
export const tools = join(cache, 'package-tools');

/** Runs npm quietly; the beginning of what it says is the error when it fails. */
function npm(args, cwd) {
  const all = [...args, '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, stdout, stderr } = spawnSync('npm', all, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm ${args.join(' ')}: ${(stderr || stdout).slice(0, 2000)}`);
  return stdout;
}

/**
 * Installs the tools when they are not those of tests/package/tools. There is no lock file: bundlers name a binary for
 * every platform in it, and not every registry has them all.
 */
export function installTools() {
  const stamp = join(tools, 'node_modules', '.framelock');
  const wanted = readFileSync(join(toolsSource, 'package.json'), 'utf8');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  rmSync(tools, { recursive: true, force: true });
  mkdirSync(tools, { recursive: true });
  for (const name of ['package.json', '.npmrc']) copyFileSync(join(toolsSource, name), join(tools, name));
  npm(['install', '--ignore-scripts', '--no-package-lock'], tools);
  writeFileSync(stamp, wanted);
}

/** Imports a tool by its name. */
export async function tool(name) {
  const { resolve } = createRequire(join(tools, 'package.json'));
  return import(pathToFileURL(resolve(name)));
}

/** The path of a tool's command. */
export const toolCommand = (name) => join(tools, 'node_modules', '.bin', name);

/** Packs the package. Gives the tarball's path and what npm says is in it. */
export function pack() {
  const folder = join(cache, 'package-tarball');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const [said] = Object.values(JSON.parse(npm(['pack', '--json', '--pack-destination', folder], root)));
  return { tarball: join(folder, said.filename), files: said.files.map(({ path }) => path), said };
}

/**
 * A fresh folder in which npm installed the tarball, with copies of the folders `sources` names. It lies below the
 * tools, so that node finds them from there, and below the repository, where the server can reach it.
 */
export function freshFolder(name, tarball, sources = {}) {
  const folder = join(tools, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [copy, source] of Object.entries(sources)) {
    cpSync(join(root, source), join(folder, copy), { recursive: true });
  }
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  npm(['install', '--offline', '--no-package-lock', tarball], folder);
  return folder;
}

/** The app of tests/package/next with the tarball in it; Next.js itself stays installed. */
export function freshNext(tarball) {
  const folder = join(cache, 'package-next');
  mkdirSync(folder, { recursive: true });
  rmSync(join(folder, '.next'), { recursive: true, force: true });
  rmSync(join(folder, 'node_modules', 'framelock'), { recursive: true, force: true });
  cpSync(join(root, 'tests', 'package', 'next'), folder, { recursive: true });
  copyFileSync(join(toolsSource, '.npmrc'), join(folder, '.npmrc'));
  npm(['install', '--no-package-lock', '--no-save', tarball], folder);
  return folder;
}
