// The licences of what is compiled into the package's wasm, which ask to be told wherever it goes: the text of
// dist/THIRD-PARTY-LICENSES.txt, from what cargo says it compiles and from the crates' own files.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cargoEnv, LOCKED, root, WASM_TARGET } from './toolchain.mjs';

/** Files of a crate, and of the C library in it, that say under which terms it is. */
const TERMS = /^(licen[cs]e|copying|copyright|notice)/i;

/** The crates that are compiled for the browser and for the server, but our own: those of builds, macros and tests are not. */
function crates() {
  const args = ['metadata', '--format-version', '1', '--filter-platform', WASM_TARGET, ...LOCKED];
  const { packages, resolve, workspace_members } = JSON.parse(
    execFileSync('cargo', args, { cwd: root, env: { ...process.env, ...cargoEnv() }, maxBuffer: 1 << 28 }),
  );
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
  const isMacro = ({ targets }) => targets.some(({ kind }) => kind.includes('proc-macro'));
  const macros = new Set(packages.filter(isMacro).map(({ id }) => id));
  const found = new Set();
  const visit = (id) => {
    if (found.has(id) || macros.has(id)) return;
    found.add(id);
    for (const { pkg, dep_kinds } of nodes.get(id).deps) {
      if (dep_kinds.some(({ kind }) => kind === null)) visit(pkg);
    }
  };
  visit(resolve.root);
  return packages
    .filter(({ id }) => found.has(id) && !workspace_members.includes(id))
    .sort((a, b) => (`${a.name} ${a.version}` < `${b.name} ${b.version}` ? -1 : 1));
}

/** The texts of a crate's terms. */
function termsIn(folder) {
  const parts = ['.', 'zstd', 'lz4', 'sqlite3'].map((part) => join(folder, part)).filter(existsSync);
  return parts.flatMap((part) =>
    readdirSync(part, { withFileTypes: true })
      .filter((entry) => entry.isFile() && TERMS.test(entry.name))
      .map(({ name }) => readFileSync(join(part, name), 'utf8').replaceAll('\r', '').trim())
      .sort(),
  );
}

/** The same whatever its lines are broken at. */
const plain = (text) => text.replace(/\s+/g, ' ');

/** The whole text: each licence once, under the names of all that it is for. */
export function licences() {
  const holders = new Map();
  const named = [];
  for (const { name, version, license, manifest_path } of crates()) {
    named.push(`${name} ${version}: ${license}`);
    for (const text of termsIn(dirname(manifest_path))) {
      const held = holders.get(plain(text)) ?? { text, names: [] };
      held.names.push(`${name} ${version}`);
      holders.set(plain(text), held);
    }
  }
  const head =
    'The WebAssembly files of framelock contain SQLite, which is in the public domain, and these Rust crates:';
  const texts = [...holders.values()].map(
    ({ text, names }) => `${'-'.repeat(80)}\n${names.join(', ')}\n\n${text}`,
  );
  return `${[head, named.join('\n'), ...texts].join('\n\n')}\n`;
}
