// Writes fixtures/raw.bin, which src/frame/raw/tests.rs reads: tables as the page takes them apart, and the IPC
// bytes that their library writes of the same table. Run it by hand after a change of the descriptor:
//
//   node tests/frame/adapters-fixtures.mjs
//
// Layout: per table its name, IPC bytes, descriptor, and the frame's only buffer; each preceded by its length as
// u32 LE.
import { writeFileSync } from 'node:fs';
import { packFrame } from './adapters-client.mjs';
import { tables } from './adapters-tables.mjs';

/** Tables whose buffers are those of another, or large: they are compared in adapters.test.mjs. */
const ELSEWHERE = /_from_ipc|_with_options|trailing_nulls|from_json/;

const parts = [];
for (const { name, table, ipc } of tables()) {
  if (ELSEWHERE.test(name)) continue;
  const { descriptor, buffers } = packFrame(table);
  for (const part of [Buffer.from(name), ipc, Buffer.from(descriptor), ...buffers]) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(part.length);
    parts.push(length, part);
  }
}
const bytes = Buffer.concat(parts);
writeFileSync(new URL('fixtures/raw.bin', import.meta.url), bytes);
console.log(`fixtures/raw.bin: ${bytes.length} bytes`);
