// The tables of both Arrow libraries are frames of any stated type.
import { tableFromIPC as flechette } from '@uwdata/flechette';
import { tableFromIPC as apache } from 'apache-arrow';
import type { Database } from 'framelock';

export async function tables(db: Database, bytes: Uint8Array): Promise<void> {
  await db.appendFrame<{ a: number }>('t', apache(bytes));
  await db.appendFrame<{ a: number }>('t', flechette(bytes));
  apache(await db.queryArrow('SELECT 1'));
}
