// The code under test: an app's own functions over a database that they are given.

/** Keeps prices; one that is there already is replaced. */
export async function savePrices(db, prices) {
  await db.exec('CREATE TABLE IF NOT EXISTS price(sym TEXT PRIMARY KEY, price REAL NOT NULL) STRICT');
  return (await db.appendFrame('price', prices, { mode: 'upsert' })).rows;
}

/** Moves one price, or changes nothing when the symbol is not there. */
export async function raise(db, sym, by) {
  return db.transaction(async (tx) => {
    const { changes } = await tx.exec('UPDATE price SET price = price + ? WHERE sym = ?', [by, sym]);
    if (changes === 0) throw new Error(`no price of ${sym}`);
    return (await tx.query('SELECT price FROM price WHERE sym = ?', [sym]))[0].price;
  });
}
