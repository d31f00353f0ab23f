// A handle: a worker, its channel, the page's lifecycle and the listeners, and how all of it ends. The statements are
// in statements.ts.
import { copyBytes, databaseName, describe, guarded, isBytes, text } from './arguments.js';
import { callSafely, Channel, type Start, type Started, startWorker } from './channel.js';
import { Channels, tellRestarted } from './channels.js';
import { FramelockError, fromWire, invalidArgument } from './errors.js';
import type { Forwarding } from './forward-types.js';
import { askForToken, forwardingOf, forwardOptions, type GetToken } from './forwarding.js';
import { type Defaults, openOptions, signalOptions, streamOptions } from './options.js';
import { askToPersist, persisted } from './persist.js';
import type { Spawn } from './spawn.js';
import { HandleStatements, type Host, queryArgs } from './statements.js';
import { runTransaction } from './transaction.js';
import type {
  AppendReceipt,
  Database,
  DatabaseEvents,
  OpenOptions,
  Params,
  RejectedFrame,
  Status,
  StreamOptions,
  Transaction,
  TransactionOptions,
} from './types.js';

/** How long `close` waits for the worker to let go by itself before it ends it. */
const CLOSE_MS = 5000;

type Listener = (detail: never) => void;

/** What a handle is made of beside its worker. */
interface Parts {
  /** Starts another worker in the place of one that died. Not for what only the worker's memory holds. */
  start: Start | undefined;
  defaults: Defaults;
  onWrite: () => void;
  forward: { getToken: GetToken | undefined } | undefined;
}

/** A frame id of a length that can be kept. */
function frameIdOf(frameId: string): string {
  const wanted = text(128)(frameId);
  if (wanted) throw invalidArgument(`a frame id must be ${wanted}, not ${describe(frameId)}`);
  return frameId;
}

class Handle extends HandleStatements implements Database {
  readonly name: string;
  readonly forwarding: Forwarding;
  readonly #channels: Channels;
  readonly #host: Host;
  readonly #listeners: Record<keyof DatabaseEvents, Set<{ listener: Listener }>>;
  #closing: Promise<void> | undefined;

  constructor(name: string, started: Started, { start, defaults, onWrite, forward }: Parts) {
    const open = (started: Started | Start) =>
      new Channel(
        started,
        ({ event, detail }) => this.#emit(event, detail),
        (refresh) => askForToken(forward?.getToken, refresh),
      );
    const channels = new Channels(started, open, start, forward !== undefined, () => tellRestarted(this));
    const host: Host = {
      get channel() {
        return channels.current;
      },
      defaults,
      onReceipt: (receipt) => this.#emit('append', receipt),
      onWrite,
    };
    super(host);
    this.name = name;
    this.forwarding = forwardingOf(host);
    this.#channels = channels;
    this.#host = host;
    this.#listeners = {
      commit: new Set(),
      queue: new Set(),
      append: new Set(),
      status: new Set(),
      forward: new Set(),
    };
  }

  get #channel(): Channel {
    return this.#channels.current;
  }

  get [Symbol.toStringTag](): string {
    // Vue makes proxies of what has no tag of its own, and private fields are not to be had through a proxy.
    return 'Database';
  }

  stream(sql: string, params?: Params, options?: StreamOptions): AsyncIterable<Uint8Array<ArrayBuffer>> {
    // The arguments are read now; what is wrong with them is said by the first step of the loop.
    const start = (async () => {
      const checked = streamOptions(options);
      const { signal } = checked;
      // The cursor is this worker's, and not of one that takes its place.
      const channel = this.#channel;
      const { cursor } = await channel.call('streamOpen', queryArgs(sql, params, checked), { signal });
      return { channel, cursor, signal };
    })();
    start.catch(() => {});
    return this.#batches(start);
  }

  async *#batches(start: Promise<{ channel: Channel; cursor: number; signal: AbortSignal | undefined }>) {
    const { channel, cursor, signal } = await start;
    let open = true;
    try {
      for (;;) {
        const batch = await channel.call('streamNext', { cursor }, { signal });
        open = batch !== null;
        if (batch === null) return;
        yield batch;
      }
    } finally {
      // Left early, or failed: the reason is already on its way to the caller.
      if (open) await channel.call('streamClose', { cursor }).catch(() => {});
    }
  }

  async transaction<T>(fn: (tx: Transaction) => Promise<T> | T, options?: TransactionOptions): Promise<T> {
    return runTransaction(this.#host, fn, options);
  }

  async whenCommitted(frameId: string, options?: { signal?: AbortSignal }): Promise<AppendReceipt> {
    return this.#channel.call('whenCommitted', { frameId: frameIdOf(frameId) }, signalOptions(options));
  }

  async drain(options?: { signal?: AbortSignal }) {
    return this.#channel.call('drain', {}, signalOptions(options));
  }

  async rejected(): Promise<RejectedFrame[]> {
    const list = await this.#channel.call('rejected', {});
    return list.map(({ error, ...frame }) => ({ ...frame, error: fromWire(error) }));
  }

  async retryRejected(frameId: string): Promise<void> {
    await this.#channel.call('retryRejected', { frameId: frameIdOf(frameId) });
  }

  async discardRejected(frameId: string): Promise<void> {
    await this.#channel.call('discardRejected', { frameId: frameIdOf(frameId) });
  }

  async status(): Promise<Status> {
    const status = await this.#channel.call('status', {});
    // The engine knows what held when it started; a page may have been promised more since.
    if (status.storage === 'opfs') status.persisted = await persisted(status.persisted);
    return status;
  }

  on<E extends keyof DatabaseEvents>(event: E, listener: (detail: DatabaseEvents[E]) => void): () => void {
    if (!Object.hasOwn(this.#listeners, event)) throw invalidArgument(`there is no event ${describe(event)}`);
    if (typeof listener !== 'function') {
      throw invalidArgument(`a listener must be a function, not ${describe(listener)}`);
    }
    // In an object of its own: one function may listen twice, and each is ended by itself.
    const entry = { listener: listener as Listener };
    this.#listeners[event].add(entry);
    if (event !== 'append') this.#channels.listen(event);
    return () => void this.#listeners[event].delete(entry);
  }

  async exportFile(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#channel.call('export', {});
  }

  async exportBlob(): Promise<Blob> {
    return this.#channel.call('exportBlob', {});
  }

  async importFile(bytes: Uint8Array | ArrayBuffer | Blob): Promise<void> {
    let copy: Uint8Array;
    if (isBlob(bytes)) copy = new Uint8Array(await readBlob(bytes));
    else if (isBytes(bytes)) copy = copyBytes(bytes, 'importFile');
    else throw invalidArgument(`importFile takes bytes or a Blob, not ${describe(bytes)}`);
    await this.#channel.call('import', {}, { buffers: [copy] });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = new FramelockError('CLOSED', `the handle on "${this.name}" was closed`);
    const channel = this.#channels.last;
    const answer = channel.call('close', {}, { guardMs: CLOSE_MS });
    channel.refuse(closed);
    // A worker that fails to close is ended all the same, and the browser takes its locks and handles back. What it was
    // writing then may be in.
    channel.end(
      await answer.then(
        () => closed,
        (failed) => failed,
      ),
    );
    for (const listeners of Object.values(this.#listeners)) listeners.clear();
  }

  #emit<E extends keyof DatabaseEvents>(event: E, detail: DatabaseEvents[E]): void {
    for (const { listener } of [...this.#listeners[event]]) callSafely(() => listener(detail as never));
  }
}

/** A Blob of any realm, or of a library that has one of its own: what its bytes can be asked of. */
const isBlob = (value: unknown): value is Blob =>
  guarded('importFile', () => typeof (value as Partial<Blob> | null)?.arrayBuffer === 'function');

/** The bytes of a file that the visitor chose, which may have gone away meanwhile. */
async function readBlob(blob: Blob): Promise<ArrayBuffer> {
  try {
    return await blob.arrayBuffer();
  } catch (cause) {
    throw invalidArgument(`importFile: the blob cannot be read: ${describe(cause)}`, { cause });
  }
}

/**
 * Opens a database of this origin, or creates it, in a worker of its own. It never waits for the write lock. Works in
 * pages and in dedicated workers.
 *
 * Throws `INVALID_ARGUMENT`, `STORAGE_UNAVAILABLE`, `NOT_A_DATABASE`, `CORRUPT`, and `WORKER_FAILED` when the worker or
 * the wasm did not load within 10 seconds.
 *
 * @param name 1–128 characters of `A-Z a-z 0-9 . _ -`, not starting with a dot.
 * @example
 * const db = await openDatabase('trades');
 * await db.appendFrame('ticks', tableToIPC(table));
 * const rows = await db.query('SELECT count(*) AS n FROM ticks');
 * await db.close();
 */
export async function openDatabase(name: string, options?: OpenOptions): Promise<Database> {
  return openHandle(name, options);
}

/** The same, in workers that the caller starts: for framelock/testing. */
export async function openHandle(name: string, options?: OpenOptions, spawn?: Spawn): Promise<Database> {
  const checkedName = databaseName(name);
  const { storage, durability, persist, retry, fallback, forward, ...assets } = openOptions(options);
  const to = forward === undefined ? undefined : forwardOptions(forward);
  const wanted = to ? { storage, durability, forward: to.forward } : { storage, durability };
  const message = { kind: 'open', name: checkedName, options: wanted } as const;
  const again = { ...message, options: { ...wanted, mustExist: true } };
  const inFile = storage === 'opfs';
  return new Handle(checkedName, await startWorker(message, assets, spawn), {
    start: inFile ? (signal) => startWorker(again, assets, spawn, signal) : undefined,
    defaults: { retry, fallback },
    onWrite: inFile && persist === 'auto' ? askToPersist : () => {},
    forward: to,
  });
}
