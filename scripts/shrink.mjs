// Makes the engine's wasm smaller after rustc and wasm-bindgen are done with it: fewer exports, fewer instructions, and
// functions in an order in which they compress well. docs/performance.md has what each step was worth.

/**
 * Binaryen's passes, in order. Of those that `wasm-opt -Oz` runs the others make the module smaller and what is downloaded
 * larger: they make alike code less alike, and it is compressed.
 */
const PASSES = [
  // What nobody can call any more.
  'remove-unused-module-elements',
  'duplicate-function-elimination',
  'remove-unused-brs',
  'optimize-instructions',
  'rse',
  'vacuum',
  'dae-optimizing',
  'coalesce-locals',
  'vacuum',
  'reorder-locals',
  // By the names that Rust and C gave them, so that what was made from one generic function stands together.
  'reorder-functions-by-name',
  'strip-debug',
  'strip-producers',
];

/**
 * Not what stands in for C's library in SQLite and zstd: they call it themselves. rustc exports every `#[no_mangle]`
 * function of every crate, and what is exported is never left out: sorts and allocators that only C code would call, were
 * it linked.
 */
const isOurs = (name) => !/^(rust_(sqlite|zstd)_wasm_|sqlite3_os_)/.test(name);

/** The module with no exports but our own, and none of its functions' names. */
export async function shrunk(bytes) {
  // Only now: set-up installs it.
  const { default: binaryen } = await import('binaryen');
  const module = binaryen.readBinary(bytes);
  const names = Array.from({ length: module.getNumExports() }, (_, i) => {
    return binaryen.getExportInfo(module.getExportByIndex(i)).name;
  });
  for (const name of names) if (!isOurs(name)) module.removeExport(name);
  // What `wasm-opt -Oz` sets before it runs its passes.
  binaryen.setOptimizeLevel(2);
  binaryen.setShrinkLevel(2);
  binaryen.setGenerateStackIR(true);
  binaryen.setOptimizeStackIR(true);
  module.runPasses(PASSES);
  const smaller = module.emitBinary();
  module.dispose();
  return smaller;
}
