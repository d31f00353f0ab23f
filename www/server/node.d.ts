// What is not web-standard here: reading the wasm from beside the script, and the bytes that pg takes.
declare module 'node:fs/promises' {
  export function readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
}

declare const Buffer: { from(bytes: ArrayBuffer, offset: number, length: number): Uint8Array };
