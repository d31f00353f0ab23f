// The compiled engine. The page compiles while the worker's script is still on its way, once for all handles; a
// worker that is given nothing loads the file itself, and says what is wrong with it.
const compiled = new Map<string, Promise<WebAssembly.Module | undefined>>();

/** The engine at this address, or nothing where the page cannot have it: the CSP may allow it to workers alone. */
export function compileEngine(url: string): Promise<WebAssembly.Module | undefined> {
  let module = compiled.get(url);
  if (module === undefined) {
    module = WebAssembly.compileStreaming(fetch(url, { credentials: 'same-origin' })).catch(() => {
      // Not kept: the file may be there the next time.
      compiled.delete(url);
      return undefined;
    });
    compiled.set(url, module);
  }
  return module;
}

/** The engines that a handle of this page has used. */
const used = new Set<string>();

/** Whether nobody on this page has used the engine at this address; from now on somebody has. */
export function isFirstUse(url: string): boolean {
  return used.size < used.add(url).size;
}
