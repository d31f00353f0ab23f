import React, { useState } from 'react';
import { useLive } from './useLive.js';

const SYMBOLS = ['A', 'B', 'C'];

/** A thousand made-up ticks: typed arrays where there is a type, plain arrays elsewhere. */
function someTicks(rows = 1000) {
  return {
    sym: Array.from({ length: rows }, (_, i) => SYMBOLS[i % SYMBOLS.length]),
    price: Float64Array.from({ length: rows }, () => 100 + Math.random()),
    at: BigInt64Array.from({ length: rows }, () => BigInt(Date.now())),
  };
}

export function Ticks({ db }) {
  const [minimum, setMinimum] = useState(100);
  const [receipt, setReceipt] = useState();
  const { rows, error } = useLive(
    db,
    'SELECT sym, count(*) AS n, max(price) AS top FROM ticks WHERE price >= ? GROUP BY sym ORDER BY sym',
    [minimum],
  );
  const append = async () => setReceipt(await db.appendFrame('ticks', someTicks()));
  return (
    <main>
      <h1>Ticks</h1>
      <button onClick={append}>Append 1,000 ticks</button>
      <label>
        {' '}
        from{' '}
        <input type="number" value={minimum} onChange={(event) => setMinimum(event.target.valueAsNumber)} />
      </label>
      {receipt && (
        <p id="receipt">
          {receipt.rows} rows, {receipt.path}, {Math.round(receipt.elapsedMs)} ms
        </p>
      )}
      {/* The first commit makes the table, and with it the query runs. */}
      {error && (
        <p role="alert">{rows ? error.message : 'No ticks yet: append some, here or in another tab.'}</p>
      )}
      {!error && !rows && <p>…</p>}
      {rows && (
        <table>
          <tbody>
            {rows.map(({ sym, n, top }) => (
              <tr key={sym}>
                <th>{sym}</th>
                <td>{n}</td>
                <td>{top.toFixed(2)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </main>
  );
}
