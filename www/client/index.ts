// The package's entry: framelock, SQLite on OPFS for every tab of an origin. Only names are brought together here.
import { databaseName } from './arguments.js';
import { startWorker } from './channel.js';
import { assetOptions } from './options.js';
import type { AssetOptions } from './types.js';

export { openDatabase } from './database.js';
export { FramelockError } from './errors.js';
export { live } from './live.js';
export type * from './types.js';
export type { Attempt, ErrorCode } from './errors.js';
export type { LiveOptions } from './live.js';
export type * from './typed.js';
export type * from './forward-types.js';

/**
 * Removes a database: its file, its journal and its queue. Removing one that is not there is no error. Throws `BUSY`
 * when another handle has it open, and `STORAGE_UNAVAILABLE` and `WORKER_FAILED` as `openDatabase` does.
 *
 * @example
 * await deleteDatabase('trades');
 */
export async function deleteDatabase(name: string, options?: AssetOptions): Promise<void> {
  const checkedName = databaseName(name);
  const { worker } = await startWorker({ kind: 'delete', name: checkedName }, assetOptions(options));
  worker.terminate();
}

/**
 * The names of this origin's databases. Throws `STORAGE_UNAVAILABLE` and `WORKER_FAILED` as `openDatabase` does.
 *
 * @example
 * for (const name of await listDatabases()) console.log(name);
 */
export async function listDatabases(options?: AssetOptions): Promise<string[]> {
  const { worker, value } = await startWorker({ kind: 'list' }, assetOptions(options));
  worker.terminate();
  return value as string[];
}
