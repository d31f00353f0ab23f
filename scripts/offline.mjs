// What the demo needs to work with the network off, as a script that its service worker imports: every file with its
// address, and a version that changes with any of them. Browsers compare imported scripts, so a new version is noticed.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './toolchain.mjs';

/** Address prefixes, their folders, and what of them is needed. */
const PARTS = [
  { at: '/', folder: 'www/demo', wanted: (name) => name !== 'service-worker.js' },
  {
    at: '/dist/',
    folder: 'dist',
    wanted: (name) => /\.(js|wasm)$/.test(name) && !/^(testing\/|here\.js)/.test(name),
  },
  { at: '/node_modules/apache-arrow/', names: ['Arrow.es2015.min.js'], folder: 'node_modules/apache-arrow' },
  { at: '/vega-datasets/', names: ['flights-200k.arrow'], folder: 'node_modules/vega-datasets/data' },
];

/** The files below a folder. */
const filesBelow = (folder) =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(root, folder).length + 1));

/** The script: `offline = { version, files }`. */
export function offlineScript() {
  const hash = createHash('sha256');
  const files = [];
  for (const { at, folder, names = filesBelow(folder), wanted = () => true } of PARTS) {
    for (const name of names.filter(wanted).sort()) {
      // Over what each holds, not over all bytes in a row: a byte that moves between files is a change too.
      hash.update(`${at}${name}\0`).update(
        createHash('sha256')
          .update(readFileSync(join(root, folder, name)))
          .digest(),
      );
      files.push(at + name.replace(/^index\.html$/, ''));
    }
  }
  const version = hash.digest('hex').slice(0, 16);
  return `globalThis.offline = ${JSON.stringify({ version, files })};\n`;
}
