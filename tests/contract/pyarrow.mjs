// Frames that pyarrow made, committed as tests/frame/fixtures/pyarrow.bin, and independent opinions on whether what
// came back is what was sent: flechette's and apache-arrow's always, pyarrow's own where it is installed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tableFromIPC as apacheTable } from 'apache-arrow';
import { tableFromIPC as flechetteTable, Type } from '@uwdata/flechette';
import { root } from '../../scripts/toolchain.mjs';

const SCRIPT = join(root, 'tests', 'frame', 'pyarrow_fixtures.py');
const FIXTURES = join(root, 'tests', 'frame', 'fixtures', 'pyarrow.bin');

/** The frames by name, as IPC bytes: a column for every type that pyarrow can make. */
export function pyarrowFrames() {
  const bytes = readFileSync(FIXTURES);
  const frames = {};
  for (let at = 0; at < bytes.length;) {
    const next = () => {
      const length = bytes.readUInt32LE(at);
      const part = bytes.subarray(at + 4, at + 4 + length);
      at += 4 + length;
      return part;
    };
    frames[next().toString()] = Uint8Array.from(next());
  }
  return frames;
}

/** The Python that has pyarrow: PYARROW_PYTHON, the one in .cache/pyarrow, or undefined. */
export function pythonWithPyarrow() {
  const candidates = [process.env.PYARROW_PYTHON, join(root, '.cache', 'pyarrow', 'bin', 'python')];
  return candidates.find((path) => path && existsSync(path));
}

/** pyarrow says that `found` is what must be read back of `sent`: types, metadata, nullability, every value. */
export function assertEqualForPyarrow(sent, found) {
  const folder = mkdtempSync(join(tmpdir(), 'framelock-pyarrow-'));
  try {
    const [a, b] = ['sent', 'found'].map((name) => join(folder, name));
    writeFileSync(a, sent);
    writeFileSync(b, found);
    const shown = spawnSync(pythonWithPyarrow(), [SCRIPT, 'equal', a, b], { encoding: 'utf8' });
    assert.equal(shown.status, 0, shown.stderr);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A type without what need not come back: runs are their values, a dictionary's number and order mean nothing. */
function readBackType(type) {
  if (type.typeId === Type.RunEndEncoded) return readBackType(type.children[1].type);
  const { id, ...rest } = type;
  return rest;
}

/** A nested value as arrays: lists and bytes of their items, structs and maps of their pairs. */
const plain = (value) =>
  typeof value === 'object' && typeof value?.[Symbol.iterator] === 'function' ? [...value].map(plain) : value;

/** A column's values; the counts themselves where the library cannot make them a number. */
function apacheValues(vector) {
  try {
    return plain(vector);
  } catch {
    const counts = ({ values, length }) => Array.from(values.subarray(0, length));
    return vector.data.flatMap((data) => counts(data).map((count, i) => (data.getValid(i) ? count : null)));
  }
}

function assertSameColumns(a, b, { typeOf, valuesOf }) {
  assert.equal(b.numRows, a.numRows);
  assert.deepEqual(
    b.schema.fields.map(({ name }) => name),
    a.schema.fields.map(({ name }) => name),
  );
  a.schema.fields.forEach((field, i) => {
    const other = b.schema.fields[i];
    assert.deepEqual(typeOf(other.type), typeOf(field.type), field.name);
    assert.equal(other.nullable, field.nullable, field.name);
    assert.deepEqual(new Map(other.metadata), new Map(field.metadata), field.name);
    assert.deepEqual(valuesOf(b.getChildAt(i)), valuesOf(a.getChildAt(i)), field.name);
  });
}

/** apache-arrow says the same; it does not read list views, runs, and keys of 64 bits. */
export function assertEqualForApache(sent, found) {
  const typeOf = (type) => String(type);
  assertSameColumns(apacheTable(sent), apacheTable(found), { typeOf, valuesOf: apacheValues });
}

/** flechette says the same; it does not read decimals of a negative scale. */
export function assertEqualForFlechette(sent, found) {
  const options = { useBigInt: true, useDecimalInt: true, useMap: true };
  const [a, b] = [sent, found].map((bytes) => flechetteTable(bytes, options));
  assertSameColumns(a, b, { typeOf: readBackType, valuesOf: plain });
}
