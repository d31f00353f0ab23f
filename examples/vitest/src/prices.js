// The code under test: an app's own functions over a database that they are given.

/** Keeps prices. Says whether they are in, or will be once another tab lets go. */
export async function savePrices(db, prices) {
  const { committed } = await db.appendFrame('prices', prices, { mode: 'createAppend' });
  return committed ? 'saved' : 'waiting';
}

/** The dearest symbol; undefined before there are any prices. */
export async function dearest(db) {
  const [row] = await db.query('SELECT sym FROM prices ORDER BY price DESC LIMIT 1');
  return row?.sym;
}
