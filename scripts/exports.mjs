// Takes exports out of a wasm module. rustc exports every `#[no_mangle]` function of every crate, and what is exported
// is never left out: sorts and allocators that only C code would call, were it linked.

const EXPORT_SECTION = 7;

/** An unsigned LEB128 number and where it ends. */
function readNumber(bytes, at) {
  let number = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    number += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [number, at];
  }
}

function numberBytes(number) {
  const bytes = [];
  for (; number >= 0x80; number = Math.floor(number / 0x80)) bytes.push((number % 0x80) | 0x80);
  return Buffer.from([...bytes, number]);
}

/**
 * The export section without the names that are not wanted:
 *
 *     count, count × (length of name, name, kind: one byte, index)
 */
function fewerExports(section, isWanted) {
  let [count, at] = readNumber(section, 0);
  const kept = [];
  for (; count > 0; count -= 1) {
    const [length, nameAt] = readNumber(section, at);
    const [, end] = readNumber(section, nameAt + length + 1);
    if (isWanted(section.toString('utf8', nameAt, nameAt + length))) kept.push(section.subarray(at, end));
    at = end;
  }
  if (at !== section.length) throw new Error('the export section is not understood');
  return Buffer.concat([numberBytes(kept.length), ...kept]);
}

/** The module with those exports only whose names are wanted. */
export function withExports(module, isWanted) {
  const parts = [module.subarray(0, 8)];
  for (let at = 8; at < module.length;) {
    const [length, start] = readNumber(module, at + 1);
    const section = module.subarray(start, start + length);
    const content = module[at] === EXPORT_SECTION ? fewerExports(section, isWanted) : section;
    parts.push(module.subarray(at, at + 1), numberBytes(content.length), content);
    at = start + length;
  }
  return Buffer.concat(parts);
}
