// Compiles www/client/frames.ts alone, into .cache/, and exports what it exports: these tests run
// in Node and need neither the wasm nor a build of the package.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
// A folder per process: node --test runs files at the same time.
const folder = join(root, '.cache', 'adapters', String(process.pid));
const outDir = join(folder, 'out');
mkdirSync(folder, { recursive: true });
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const config = {
  extends: join(root, 'tsconfig.build.json'),
  compilerOptions: { outDir, declaration: false },
  files: [join(root, 'www/client/frames.ts')],
  include: [],
};
writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
const tsc = join(root, 'node_modules', '.bin', 'tsc');
const { status, stdout } = spawnSync(tsc, ['-p', folder], { encoding: 'utf8' });
if (status !== 0) throw new Error(`tsc: ${stdout}`);

export const { packFrame } = await import(pathToFileURL(join(outDir, 'frames.js')).href);
export const { FramelockError } = await import(pathToFileURL(join(outDir, 'errors.js')).href);

/** How many rows a packed frame has, as its descriptor says. */
export function rowsOf({ descriptor }) {
  const { rows, batches, columns } = JSON.parse(descriptor);
  return rows ?? (batches ?? columns[0]?.map(({ n }) => n) ?? []).reduce((sum, n) => sum + n, 0);
}
