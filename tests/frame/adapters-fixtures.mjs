// Writes the fixtures that the Rust tests of src/frame/raw and src/frame/packed read. Run it by hand after a
// change of a descriptor:
//
//   node tests/frame/adapters-fixtures.mjs
//
// raw.bin     tables as the page takes them apart, and the IPC bytes that their library writes of them
// packed.bin  plain values as the page packs them, and IPC bytes of the table they mean
//
// Layout: per frame its name, IPC bytes, descriptor, the number of buffers as u32 LE, and the buffers; each but the
// number preceded by its length as u32 LE.
import { writeFileSync } from 'node:fs';
import { packFrame } from './adapters-client.mjs';
import { tables } from './adapters-tables.mjs';
import { values } from './adapters-values.mjs';

/** Tables whose buffers are those of another, or large: they are compared in adapters.test.mjs. */
const ELSEWHERE = /_from_ipc|_with_options|trailing_nulls|from_json|large_list_sliced/;

function u32(number) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number);
  return bytes;
}

function write(file, frames) {
  const parts = [];
  const put = (part) => parts.push(u32(part.length), part);
  for (const { name, input, ipc } of frames) {
    const { descriptor, buffers } = packFrame(input);
    [Buffer.from(name), ipc, Buffer.from(descriptor)].forEach(put);
    parts.push(u32(buffers.length));
    buffers.forEach(put);
  }
  const bytes = Buffer.concat(parts);
  writeFileSync(new URL(`fixtures/${file}`, import.meta.url), bytes);
  console.log(`fixtures/${file}: ${bytes.length} bytes`);
}

const kept = tables().filter(({ name }) => !ELSEWHERE.test(name));
write(
  'raw.bin',
  kept.map(({ name, table, ipc }) => ({ name, input: table, ipc })),
);
write('packed.bin', values());
