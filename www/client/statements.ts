// appendFrame, exec and the reads: arguments in, one call each, answers out. A database and an open transaction are
// both this; they differ in the transaction's number and in when they refuse.
import { sqlText, tableName, wireParams } from './arguments.js';
import type { Channel } from './channel.js';
import { GUARD_MS, now, shared } from './deadline.js';
import { aboutTable } from './errors.js';
import { packFrame } from './frames.js';
import type { QueryArgs } from './messages.js';
import { appendOptions, DEADLINE_MS, type Defaults, queryOptions, statementOptions } from './options.js';
import { decodeColumns, decodeRows } from './rows.js';
import type {
  AppendOptions,
  AppendReceipt,
  Column,
  ExecResult,
  FrameInput,
  Params,
  QueryOptions,
  StatementOptions,
  Statements,
} from './types.js';

/** What statements need of the handle they belong to. */
export interface Host {
  readonly channel: Channel;
  readonly defaults: Defaults;
  /** Told of every receipt. */
  onReceipt(receipt: AppendReceipt): void;
  /** Told when rows were written or put into the queue; not of what an open transaction does. */
  onWrite(): void;
}

/** A read's arguments as they are sent; the options are checked copies without a prototype. */
export function queryArgs(sql: unknown, params: unknown, options: QueryOptions, tx?: number): QueryArgs {
  const { signal: _, ...rest } = options;
  const args: QueryArgs = { sql: sqlText(sql), params: wireParams(params), ...rest };
  if (tx !== undefined) args.tx = tx;
  return args;
}

/** The statements of a handle, or of its transaction `tx`. */
export class HandleStatements implements Statements {
  readonly #host: Host;
  readonly #tx: number | undefined;

  constructor(host: Host, tx?: number) {
    this.#host = host;
    this.#tx = tx;
  }

  async appendFrame(table: string, frame: FrameInput, options?: AppendOptions): Promise<AppendReceipt> {
    const began = now();
    const name = tableName(table);
    const { signal, onProgress, ...rest } = aboutTable(name, () =>
      appendOptions(options, this.#host.defaults),
    );
    const replaces = rest.lossy !== undefined && rest.lossy !== 'error';
    const { form, descriptor, buffers } = aboutTable(name, () => packFrame(frame, replaces));
    const packed = descriptor === undefined ? { form } : { form, descriptor };
    const progress = onProgress !== undefined;
    const { channel } = this.#host;
    const [calledAt, tell] = [shared(began), channel.isBusy];
    const inMs = (rest.retry.deadlineMs ?? DEADLINE_MS) - (now() - began);
    const limit = tell ? { deadline: { inMs, table: name } } : { guardMs: inMs + GUARD_MS };
    const receipt = await channel.call(
      'append',
      { table: name, options: rest, ...packed, progress, tell, calledAt, ...this.#joined() },
      { buffers, signal, onProgress, ...limit },
    );
    // The engine knows neither how long packing took nor how long it was busy with another call.
    receipt.elapsedMs = now() - began;
    this.#host.onReceipt(receipt);
    if (this.#tx === undefined) this.#host.onWrite();
    return receipt;
  }

  async exec(sql: string, params?: Params, options?: StatementOptions): Promise<ExecResult> {
    const { signal, ...rest } = statementOptions(options);
    const args = { sql: sqlText(sql), params: wireParams(params), ...rest, ...this.#joined() };
    const result = await this.#host.channel.call('exec', args, { signal });
    if (this.#tx === undefined && result.changes > 0) this.#host.onWrite();
    return result;
  }

  async query<Row = Record<string, unknown>>(
    sql: string,
    params?: Params,
    options?: QueryOptions,
  ): Promise<Row[]> {
    const { rows, columns } = await this.#read('query', sql, params, options);
    return decodeRows(rows, columns) as Row[];
  }

  async queryColumns<Columns extends { [Name in keyof Columns]: Column } = Record<string, Column>>(
    sql: string,
    params?: Params,
    options?: QueryOptions,
  ): Promise<Columns> {
    const { rows, columns } = await this.#read('query', sql, params, options);
    return decodeColumns(rows, columns) as Columns;
  }

  async queryArrow(sql: string, params?: Params, options?: QueryOptions): Promise<Uint8Array<ArrayBuffer>> {
    return this.#read('queryArrow', sql, params, options);
  }

  #read<O extends 'query' | 'queryArrow'>(op: O, sql: string, params?: Params, options?: QueryOptions) {
    const checked = queryOptions(options);
    return this.#host.channel.call<O>(op, queryArgs(sql, params, checked, this.#tx), {
      signal: checked.signal,
    });
  }

  #joined(): { tx?: number } {
    return this.#tx === undefined ? {} : { tx: this.#tx };
  }
}
