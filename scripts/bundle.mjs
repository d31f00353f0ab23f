// The browser's half of the package in few files: thirty small modules, each imported by another, take a page four
// round trips to find, and three times as long to load as these (docs/performance.md, W4). An app's own bundler sees
// the same exports, and the `new URL(…, import.meta.url)` that it looks for.
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { root } from './toolchain.mjs';

/** What a page or a user's worker imports. They may meet in one realm, so what they share is in files of its own. */
const SHARING = ['index', 'here', 'testing/index', 'testing/node'];

/** What starts a worker or a thread. Each is alone in its realm, and one file. */
const ALONE = ['worker', 'testing/worker', 'testing/thread'];

/** Left an import of its own: it names its worker by an address relative to itself, so it must stay where it is. */
const testingStays = {
  name: 'testing-stays',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/index\.js$/ }, ({ importer, path }) =>
      importer.endsWith(join('testing', 'node.js')) ? { path, external: true } : undefined,
    );
  },
};

/** The engine's glue names the wasm by an address relative to itself, and goes into a script of this name. */
const glueIn = (name) => ({
  name: 'glue',
  setup({ onLoad }) {
    const path = join(relative(dirname(name), '.'), 'framelock_wasm_bg.wasm');
    onLoad({ filter: /framelock_wasm\.js$/ }, (file) => {
      const glue = readFileSync(file.path, 'utf8').replace("'framelock_wasm_bg.wasm'", `'${path}'`);
      if (!glue.includes(`new URL('${path}', import.meta.url)`)) throw new Error('the glue names no wasm');
      return { contents: glue };
    });
  },
});

/** Bundles the modules of one folder into another. Names and sources of the maps stay readable: nothing is minified. */
export async function bundle(from, to) {
  // Only now: set-up installs it, and comes after this file's own import.
  const { build } = await import('esbuild');
  const options = {
    absWorkingDir: root,
    outbase: from,
    outdir: to,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    external: ['node:*'],
    sourcemap: true,
    // package.json says which files of dist/ have side effects; these are not there yet.
    ignoreAnnotations: true,
    logLevel: 'warning',
  };
  const paths = (names) => names.map((name) => join(from, `${name}.js`));
  await build({
    ...options,
    entryPoints: paths(SHARING),
    splitting: true,
    plugins: [testingStays],
    // Beside the entries: addresses of the worker and of the wasm are relative to the file that names them.
    chunkNames: 'shared-[hash]',
  });
  for (const name of ALONE) await build({ ...options, entryPoints: paths([name]), plugins: [glueIn(name)] });
}
