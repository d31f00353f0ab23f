// A handle: a worker, its channel, the page's lifecycle and the listeners, and how all of it ends. The statements are
// in statements.ts.
import { copyBytes, databaseName, describe, guarded, isBytes, text } from './arguments.js';
import { callSafely, Channel, startWorker } from './channel.js';
import { FramelockError, fromWire, invalidArgument } from './errors.js';
import type { Forwarding } from './forward-types.js';
import { askForToken, forwardingOf, forwardOptions, type GetToken } from './forwarding.js';
import { watchLifecycle } from './lifecycle.js';
import { type Defaults, openOptions, signalOptions, streamOptions } from './options.js';
import { askToPersist, persisted } from './persist.js';
import type { EnginePort, Spawn } from './spawn.js';
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

/** A frame id of a length that can be kept. */
function frameIdOf(frameId: string): string {
  const wanted = text(128)(frameId);
  if (wanted) throw invalidArgument(`a frame id must be ${wanted}, not ${describe(frameId)}`);
  return frameId;
}

class Handle extends HandleStatements implements Database {
  readonly name: string;
  readonly forwarding: Forwarding;
  readonly #channel: Channel;
  readonly #host: Host;
  readonly #listeners: Record<keyof DatabaseEvents, Set<{ listener: Listener }>>;
  /** The events that the engine was asked for; it sends no others. */
  readonly #asked = new Set<keyof DatabaseEvents>();
  readonly #stopWatching: () => void;
  #closing: Promise<void> | undefined;

  constructor(
    name: string,
    worker: EnginePort,
    defaults: Defaults,
    onWrite: () => void,
    getToken: GetToken | undefined,
  ) {
    const onToken = (refresh: boolean) => askForToken(getToken, refresh);
    const channel = new Channel(worker, ({ event, detail }) => this.#emit(event, detail), onToken);
    const onReceipt = (receipt: AppendReceipt) => this.#emit('append', receipt);
    const host = { channel, defaults, onReceipt, onWrite };
    super(host);
    this.name = name;
    this.forwarding = forwardingOf(channel);
    this.#channel = channel;
    this.#host = host;
    this.#listeners = {
      commit: new Set(),
      queue: new Set(),
      append: new Set(),
      status: new Set(),
      forward: new Set(),
    };
    this.#stopWatching = watchLifecycle((state) => channel.lifecycle(state));
  }

  stream(sql: string, params?: Params, options?: StreamOptions): AsyncIterable<Uint8Array<ArrayBuffer>> {
    // The arguments are read now; what is wrong with them is said by the first step of the loop.
    const start = (async () => {
      const checked = streamOptions(options);
      const { signal } = checked;
      const { cursor } = await this.#channel.call('streamOpen', queryArgs(sql, params, checked), { signal });
      return { cursor, signal };
    })();
    start.catch(() => {});
    return this.#batches(start);
  }

  async *#batches(start: Promise<{ cursor: number; signal: AbortSignal | undefined }>) {
    const { cursor, signal } = await start;
    let open = true;
    try {
      for (;;) {
        const batch = await this.#channel.call('streamNext', { cursor }, { signal });
        open = batch !== null;
        if (batch === null) return;
        yield batch;
      }
    } finally {
      // Left early, or failed: the reason is already on its way to the caller.
      if (open) await this.#channel.call('streamClose', { cursor }).catch(() => {});
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
      throw invalidArgument(`a listener is a function, not ${describe(listener)}`);
    }
    // In an object of its own: one function may listen twice, and each is ended by itself.
    const entry = { listener: listener as Listener };
    this.#listeners[event].add(entry);
    if (event !== 'append' && !this.#asked.has(event)) {
      this.#asked.add(event);
      this.#channel.listen(event);
    }
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
    const closed = new FramelockError('CLOSED', `the handle on ${this.name} was closed`);
    const answer = this.#channel.call('close', {}, { guardMs: CLOSE_MS });
    this.#channel.refuse(closed);
    this.#stopWatching();
    // A worker that fails to close is ended all the same, and the browser takes its locks and handles back.
    await answer.catch(() => {});
    this.#channel.end(closed);
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
  return (await openHandle(name, options)).db;
}

/** The same, with the worker, and in a worker that the caller starts: for framelock/testing. */
export async function openHandle(
  name: string,
  options?: OpenOptions,
  spawn?: Spawn,
): Promise<{ db: Database; worker: EnginePort }> {
  const checkedName = databaseName(name);
  const { storage, durability, persist, retry, fallback, forward, ...assets } = openOptions(options);
  const to = forward === undefined ? undefined : forwardOptions(forward);
  const start = {
    kind: 'open',
    name: checkedName,
    options: to ? { storage, durability, forward: to.forward } : { storage, durability },
  } as const;
  const { worker } = await startWorker(start, assets, spawn);
  const onWrite = storage === 'opfs' && persist === 'auto' ? askToPersist : () => {};
  return { db: new Handle(checkedName, worker, { retry, fallback }, onWrite, to?.getToken), worker };
}
