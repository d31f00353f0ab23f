// The frame of every benchmark: 8 columns, made from a seed, the same in the page, in workers and in Node. It knows
// the data and nothing of databases.

/** Column names and their Arrow types, in order. */
export const COLUMNS = ['id', 'ts', 'price', 'qty', 'live', 'sym', 'note', 'uid'];

/** The table as every SQLite contender declares it: the types that framelock declares by itself. */
export const create = (table) =>
  `CREATE TABLE ${table}(id INTEGER, ts INTEGER, price REAL, qty INTEGER, live INTEGER, sym TEXT, note TEXT, uid BLOB)`;

/** The same with a primary key and three secondary indexes (W7). */
export const createKeyed = (table) => [
  create(table).replace('id INTEGER', 'id INTEGER PRIMARY KEY'),
  `CREATE INDEX ${table}_ts ON ${table}(ts)`,
  `CREATE INDEX ${table}_sym ON ${table}(sym, ts)`,
  `CREATE INDEX ${table}_note ON ${table}(note)`,
];

/** What every contender must find in the table afterwards; the SQL is understood by all of them. */
export const checkSql = (
  table,
) => `SELECT count(*) AS n, sum(id) AS id, sum(ts % 1000003) AS ts, sum(price) AS price,
  sum(qty) AS qty, sum(CASE WHEN live THEN 1 ELSE 0 END) AS live, count(DISTINCT sym) AS sym,
  count(note) AS notes, sum(length(note)) AS note, sum(octet_length(uid)) AS uid,
  min(note) AS least, max(note) AS most FROM ${table}`;

/** A group-by over all rows (W3). */
export const GROUP_BY =
  'SELECT sym, count(*) AS n, avg(price) AS price, max(ts) AS ts FROM ticks GROUP BY sym';

const SYMBOLS = Array.from({ length: 50 }, (_, i) => `SYM${String(i * 37).padStart(4, '0')}`);
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
/** Microseconds of 2024-01-01. */
const EPOCH = 1_704_067_200_000_000;

/** xorshift32: fast, and the same everywhere. */
function random(seed) {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/**
 * The columns as JavaScript values. `id` and `ts` are whole numbers below 2^53 in Float64Arrays, since no contender
 * binds those slower than bigints; all text is ASCII. `uids` holds every 16-byte value one after the other.
 */
export function makeColumns({ rows = 100_000, seed = 1, firstId = 0 } = {}) {
  const next = random(seed * 2_654_435_761);
  const id = new Float64Array(rows);
  const ts = new Float64Array(rows);
  const price = new Float64Array(rows);
  const qty = new Int32Array(rows);
  const live = new Uint8Array(rows);
  const sym = new Array(rows);
  const note = new Array(rows);
  const uids = new Uint8Array(rows * 16);
  const words = new Uint32Array(uids.buffer);
  for (let i = 0; i < rows; i++) {
    id[i] = firstId + i;
    // Multiples of 125 us are exact as milliseconds, which is what flechette takes.
    ts[i] = EPOCH + (firstId + i) * 250_000 + (next() % 1000) * 125;
    price[i] = next() / 65_536 - 1000;
    qty[i] = (next() | 0) % 1_000_000;
    live[i] = next() & 1;
    sym[i] = SYMBOLS[next() % SYMBOLS.length];
    if (next() % 10 === 0) note[i] = null;
    else {
      let text = '';
      for (let k = 0; k < 6; k++) {
        const bits = next();
        text += ALPHABET[bits % 36] + ALPHABET[(bits >>> 8) % 36];
        text += ALPHABET[(bits >>> 16) % 36] + ALPHABET[(bits >>> 24) % 36];
      }
      note[i] = text;
    }
    for (let k = 0; k < 4; k++) words[i * 4 + k] = next();
  }
  const uid = Array.from({ length: rows }, (_, i) => uids.subarray(i * 16, i * 16 + 16));
  return { rows, id, ts, price, qty, live, sym, note, uid, uids };
}

/** What {@link checkSql} must give for frames that lie in one table together. */
export function expected(...frames) {
  const sums = { n: 0, id: 0, ts: 0, price: 0, qty: 0, live: 0, sym: 0, notes: 0, note: 0, uid: 0 };
  const symbols = new Set();
  let [least, most] = [undefined, undefined];
  for (const frame of frames) {
    sums.n += frame.rows;
    for (let i = 0; i < frame.rows; i++) {
      sums.id += frame.id[i];
      sums.ts += frame.ts[i] % 1_000_003;
      sums.price += frame.price[i];
      sums.qty += frame.qty[i];
      sums.live += frame.live[i];
      symbols.add(frame.sym[i]);
      const note = frame.note[i];
      if (note === null) continue;
      sums.notes++;
      sums.note += note.length;
      if (least === undefined || note < least) least = note;
      if (most === undefined || note > most) most = note;
    }
    sums.uid += frame.uids.length;
  }
  return { ...sums, sym: symbols.size, least, most };
}

/** Throws when a table's sums are not the expected ones. */
export function verify(found, wanted) {
  for (const [name, value] of Object.entries(wanted)) {
    const seen = typeof value === 'string' ? found[name] : Number(found[name]);
    // Sums of floats depend on the order of adding.
    const same = name === 'price' ? Math.abs(seen - value) <= Math.abs(value) * 1e-9 + 1e-3 : seen === value;
    if (!same) throw new Error(`wrong data: ${name} is ${seen}, not ${value}`);
  }
}

/** The frame as an Arrow IPC stream: int64, timestamp[us, UTC], float64, int32, bool, utf8, utf8, 16 bytes. */
export function toArrow(frame, flechette) {
  const f = flechette;
  const table = f.tableFromArrays(
    {
      id: Array.from(frame.id, BigInt),
      ts: Array.from(frame.ts, (us) => us / 1000),
      price: frame.price,
      qty: frame.qty,
      live: Array.from(frame.live, Boolean),
      sym: frame.sym,
      note: frame.note,
      uid: frame.uid,
    },
    {
      types: {
        id: f.int64(),
        ts: f.timestamp(f.TimeUnit.MICROSECOND, 'UTC'),
        price: f.float64(),
        qty: f.int32(),
        live: f.bool(),
        sym: f.utf8(),
        note: f.utf8(),
        uid: f.fixedSizeBinary(16),
      },
    },
  );
  return f.tableToIPC(table, { format: 'stream' });
}
