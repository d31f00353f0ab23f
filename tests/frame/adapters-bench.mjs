// How long the page takes to pack a frame of 100,000 rows × 8 columns, in Node: medians.
//
//   node tests/frame/adapters-bench.mjs
import * as arrow from 'apache-arrow';
import * as flechette from '@uwdata/flechette';
import { packFrame } from './adapters-client.mjs';

const ROWS = 100_000;
const of = (f) => Array.from({ length: ROWS }, (_, i) => f(i));
const symbols = ['BTC-USD', 'ETH-USD', 'SOL-USD', 'DOGE-USD'];

const typed = {
  id: BigInt64Array.from(of((i) => BigInt(i))),
  qty: Int32Array.from(of((i) => i % 1000)),
  flags: Uint8Array.from(of((i) => i % 7)),
  price: Float64Array.from(of((i) => i / 7)),
  bid: Float64Array.from(of((i) => i / 8)),
  ask: Float64Array.from(of((i) => i / 9)),
  size: Float32Array.from(of((i) => i / 2)),
  time: BigInt64Array.from(of((i) => 1_700_000_000_000n + BigInt(i))),
};
const plain = {
  id: of((i) => i),
  qty: of((i) => i % 1000),
  open: of((i) => i % 2 === 0),
  price: of((i) => i / 7),
  bid: of((i) => (i % 10 === 0 ? null : i / 8)),
  symbol: of((i) => symbols[i % 4]),
  note: of((i) => `note number ${i}`),
  time: of((i) => new Date(1_700_000_000_000 + i)),
};
const rows = of((i) => Object.fromEntries(Object.entries(plain).map(([name, values]) => [name, values[i]])));
const { symbol, note, ...rest } = plain;
const apache = new arrow.Table({
  ...Object.fromEntries(Object.entries(typed).map(([name, values]) => [name, arrow.makeVector(values)])),
  note: arrow.vectorFromArray(note, new arrow.Utf8()),
  symbol: arrow.vectorFromArray(symbol),
});
const inputs = {
  'typed arrays': typed,
  'arrays of values': plain,
  'arrays without text': rest,
  'row objects': rows,
  'apache-arrow table': apache,
  'flechette table': flechette.tableFromIPC(arrow.tableToIPC(apache)),
  'IPC bytes': arrow.tableToIPC(apache),
};
for (const [name, input] of Object.entries(inputs)) {
  const times = [];
  for (let i = 0; i < 25; i++) {
    const start = performance.now();
    packFrame(input);
    times.push(performance.now() - start);
  }
  const first = times[0];
  times.sort((a, b) => a - b);
  const mib = packFrame(input).buffers.reduce((sum, { length }) => sum + length, 0) / 2 ** 20;
  console.log(
    `${name.padEnd(20)} ${times[12].toFixed(1).padStart(6)} ms  first ${first.toFixed(1).padStart(6)} ms  ${mib.toFixed(1)} MiB`,
  );
}
