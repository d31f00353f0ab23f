// One worker and the calls under way in it. Every promise made here settles: by the worker's answer, by its death, by
// its end, or by a guard. It knows the protocol's envelopes and nothing of what the operations mean.
import { watchAlive } from './alive.js';
import { describe, resolved } from './arguments.js';
import { guard, GUARD_MS } from './deadline.js';
import { compileEngine, isFirstUse } from './engine.js';
import { FramelockError, fromWire, invalidArgument } from './errors.js';
import type { EventMessage, LifecycleState, Op, Operations, PageMessage } from './messages.js';
import type { StartMessage, WorkerMessage } from './messages.js';
import { type EnginePort, type Spawn, spawning } from './spawn.js';
import type { AssetOptions } from './types.js';

/** After these another worker would not help. */
const FINAL = ['CLOSED', 'STORAGE_LOST', 'NOT_A_DATABASE', 'CORRUPT', 'PROTOCOL_VERSION'];

/** A worker that has not started by then never will: its script or its wasm hangs. */
const START_MS = 10_000;

/** A worker whose lock is gone and that does not answer for so long is dead. */
const PONG_MS = 1000;

/** A message that says that a call was taken in time is under way for no longer. */
const TAKEN_MS = 250;

/** The errors of workers that did not start. */
const unstarted = new WeakSet<object>();

/** Whether a call failed since its worker did not start: it is none that a worker dies of. */
export const hasNotStarted = (error: unknown): boolean => unstarted.has(error as object);

/** What a call may have beside its arguments. */
export interface CallOptions {
  /** Transferred: the caller's side gives them away. */
  buffers?: Uint8Array[];
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: { rows: number; totalRows: number }) => void) | undefined;
  /** When to give the worker up for this call, in milliseconds. Default: never, unless it dies. */
  guardMs?: number;
  /** In how many milliseconds the deadline of an append with `tell` is. If it was not taken by then it never is. */
  deadline?: { inMs: number; table: string };
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: FramelockError): void;
  signal: AbortSignal | undefined;
  onProgress: CallOptions['onProgress'];
  /** Its rows may be in, or be durable in the queue: only the engine knows. */
  isTaken: boolean;
  /** Removes the abort listener and the guard. */
  tidy(): void;
}

/** The error of a call whose signal fired. */
export function abortedBy(signal: AbortSignal): FramelockError {
  return new FramelockError('ABORTED', 'the signal fired before the call was carried out', {
    cause: signal.reason,
  });
}

/** The error of an append that still stands in line at its deadline. The engine, which is busy, will not begin it. */
function notTaken(table: string): FramelockError {
  const message = 'the deadline passed while the worker was busy; nothing was written';
  return new FramelockError('TIMEOUT', message, { table });
}

/** A worker's failure, whose cause is mostly for the console: browsers say little about it. */
function workerFailed(what: string, cause?: unknown): FramelockError {
  return new FramelockError('WORKER_FAILED', what, cause === undefined ? {} : { cause });
}

/** The message of a worker's error event; none when its script did not load. */
function failureOf(event: Event): FramelockError {
  if (event.type === 'messageerror') return workerFailed('a message of the worker could not be read');
  const message = (event as Partial<ErrorEvent>).message;
  return workerFailed(
    message
      ? `the worker failed: ${message}`
      : 'the worker did not load: is its script beside the bundle or where workerUrl says, does the CSP allow it, does the bundler ' +
          'know of it (Vite before 8: optimizeDeps.exclude; esbuild, Rollup: copy worker.js and the wasm)?',
  );
}

/**
 * Where the page finds the engine: where it is told to, else beside its own script. A worker from elsewhere has its own
 * beside it. The address is written out in full: bundlers look for exactly this expression.
 */
function engineUrl({ workerUrl, wasmUrl }: AssetOptions): string | undefined {
  if (wasmUrl !== undefined) return resolved('wasmUrl', wasmUrl).href;
  return workerUrl === undefined ? new URL('./framelock_wasm_bg.wasm', import.meta.url).href : undefined;
}

/** Starts a script, or says that the browser would not. */
function started(spawn: Spawn, assets: AssetOptions): EnginePort {
  try {
    return spawn(assets);
  } catch (cause) {
    if (cause instanceof FramelockError) throw cause;
    throw workerFailed(`the browser refused to start the worker: ${describe(cause)}`, cause);
  }
}

/** A worker that has started. */
export interface Started {
  worker: EnginePort;
  /** The value of its answer, if it was started for one. */
  value: unknown;
  /** The lock that it holds as long as it lives, where it has one. */
  alive: string | undefined;
  /** What it said before it said that it is open: it may want a token at once. */
  early?: WorkerMessage[];
}

/** Starts a worker; the signal ends it. */
export type Start = (signal: AbortSignal) => Promise<Started>;

/**
 * Starts a worker for one purpose. Resolves with it and with its first answer. Whatever goes wrong, the worker is gone and
 * a later start is not affected.
 */
export async function startWorker(
  message: StartMessage,
  assets: AssetOptions,
  spawnBy?: Spawn,
  signal?: AbortSignal,
): Promise<Started> {
  const inMemory = message.kind === 'open' && message.options.storage === 'memory';
  const { spawn, needsWasm } = spawning(assets, inMemory, spawnBy);
  const start: StartMessage = { ...message };
  if (needsWasm && assets.wasmUrl !== undefined) start.wasmUrl = resolved('wasmUrl', assets.wasmUrl).href;
  const url = needsWasm ? engineUrl(assets) : undefined;
  // Only the package's own worker warms the engine up, and only for the first of a page.
  const isOwn = spawnBy === undefined && assets.engine === undefined;
  if (start.kind === 'open' && url !== undefined && isOwn) start.isFirst = isFirstUse(url);
  const engine = url === undefined ? Promise.resolve(undefined) : compileEngine(url);
  const worker = started(spawn, assets);
  const ended = new AbortController();
  const once = { signal: ended.signal };
  const early: WorkerMessage[] = [];
  try {
    return await new Promise<Started>((resolve, reject) => {
      const stop = guard(START_MS, () => reject(workerFailed(`the worker did not start in ${START_MS} ms`)));
      ended.signal.addEventListener('abort', stop);
      signal?.addEventListener('abort', () => reject(signal.reason), once);
      for (const type of ['error', 'messageerror'] as const) {
        worker.addEventListener(type, (event) => reject(failureOf(event)), once);
      }
      worker.addEventListener(
        'message',
        ({ data }: MessageEvent<WorkerMessage>) => {
          if (data.kind === 'opened') resolve({ worker, value: undefined, alive: data.alive, early });
          else if (data.kind === 'done') resolve({ worker, value: data.value, alive: undefined });
          else if (data.kind === 'failed') reject(fromWire(data.error));
          else early.push(data);
        },
        once,
      );
      engine.then((module) => worker.postMessage(module === undefined ? start : { ...start, module }));
    });
  } catch (error) {
    worker.terminate();
    throw error;
  } finally {
    ended.abort();
  }
}

/** The calls of an open handle in one worker. */
export class Channel {
  /** None before it has started, and what goes out meanwhile. */
  #worker: EnginePort | undefined;
  readonly #unsent: [message: PageMessage, transfer: Transferable[]][] = [];
  readonly #onEvent: (message: EventMessage) => void;
  readonly #onToken: (refresh: boolean) => Promise<string | undefined>;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  /** Why no call is taken any more. */
  #ended: FramelockError | undefined;
  readonly #over = new AbortController();
  /** Called when the worker, whose lock is gone, says that it lives. */
  #isAlive = () => {};

  constructor(
    started: Started | Start,
    onEvent: (message: EventMessage) => void,
    onToken: (refresh: boolean) => Promise<string | undefined>,
  ) {
    this.#onEvent = onEvent;
    this.#onToken = onToken;
    if (typeof started !== 'function') this.#begin(started);
    else {
      const begin = (started: Started) => this.#begin(started);
      const fail = (error: FramelockError) => {
        unstarted.add(error);
        this.end(error);
      };
      started(this.over).then(begin, fail);
    }
  }

  #begin({ worker, alive, early }: Started): void {
    if (this.over.aborted) return worker.terminate();
    this.#worker = worker;
    if (alive !== undefined) {
      watchAlive(alive, this.over, () => this.#askWhetherAlive());
    }
    worker.onmessage = ({ data }: MessageEvent<WorkerMessage>) => this.#receive(data);
    worker.onerror = (event) => this.end(failureOf(event));
    worker.onmessageerror = (event) => this.end(failureOf(event));
    for (const [message, transfer] of this.#unsent.splice(0)) {
      try {
        worker.postMessage(message, transfer);
      } catch (cause) {
        if (message.kind === 'call') this.#cannotSend(message.id, cause);
      }
    }
    early?.forEach((message) => this.#receive(message));
  }

  /** The worker's lock is gone, with the worker or, when the browser's storage was cleared, with all locks. */
  #askWhetherAlive(): void {
    const end = () => this.end(workerFailed('the worker was ended from outside'));
    this.#isAlive = guard(PONG_MS, end);
    this.#post({ kind: 'ping' });
  }

  /** Asks the worker for an operation. Messages go out at once and in the order of the calls. */
  call<O extends Op>(
    op: O,
    args: Operations[O]['args'],
    options: CallOptions = {},
  ): Promise<Operations[O]['value']> {
    const { buffers = [], signal, onProgress } = options;
    if (this.#ended) return Promise.reject(this.#ended);
    if (signal?.aborted) return Promise.reject(abortedBy(signal));
    return new Promise<unknown>((resolve, reject) => {
      const id = ++this.#lastId;
      const cancel = () => this.#post({ kind: 'cancel', id });
      const stop = this.#guard(id, options);
      const tidy = () => {
        stop();
        signal?.removeEventListener('abort', cancel);
      };
      this.#pending.set(id, { resolve, reject, signal, onProgress, isTaken: false, tidy });
      try {
        signal?.addEventListener('abort', cancel, { once: true });
        const message = { kind: 'call', id, op, args, buffers } as PageMessage;
        this.#post(message, [...new Set(buffers.map((bytes) => bytes.buffer as ArrayBuffer))]);
      } catch (cause) {
        this.#cannotSend(id, cause);
      }
    }) as Promise<Operations[O]['value']>;
  }

  /** Settles a call that is not answered in its time; returns what stops that. */
  #guard(id: number, { guardMs, deadline }: CallOptions): () => void {
    const giveUp = () => this.#settle(id)?.reject(workerFailed('the worker did not answer in time'));
    if (!deadline) return guardMs === undefined ? () => {} : guard(guardMs, giveUp);
    let stop = guard(deadline.inMs + TAKEN_MS, () => {
      if (this.#pending.get(id)?.isTaken) stop = guard(GUARD_MS - TAKEN_MS, giveUp);
      else this.#settle(id)?.reject(notTaken(deadline.table));
    });
    return () => stop();
  }

  /** Tells the engine what the page does. */
  lifecycle(state: LifecycleState): void {
    if (!this.#ended) this.#post({ kind: 'lifecycle', state });
  }

  /** Asks for an event's messages. */
  listen(event: EventMessage['event']): void {
    if (!this.#ended) this.#post({ kind: 'listen', event });
  }

  /** Whether calls are under way: the next one may have to wait behind them. */
  get isBusy(): boolean {
    return this.#pending.size > 0;
  }

  /** Fires when the worker is ended; its reason is the error that every call gets. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Whether the worker died by itself, or did not start; another one can take its place. */
  get hasFailed(): boolean {
    return this.#ended !== undefined && !FINAL.includes(this.#ended.code);
  }

  /** Refuses further calls with this error; those under way go on. */
  refuse(error: FramelockError): void {
    this.#ended = error;
  }

  /** Ends the worker; every call under way, and every later one, rejects. */
  end(error: FramelockError): void {
    this.#ended ??= error;
    this.#worker?.terminate();
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
    this.#over.abort(error);
  }

  async #answerToken(id: number, refresh: boolean): Promise<void> {
    const token = await this.#onToken(refresh);
    if (!this.#ended) this.#post({ kind: 'token', id, token });
  }

  #post(message: PageMessage, transfer: Transferable[] = []): void {
    if (this.#worker) this.#worker.postMessage(message, transfer);
    else this.#unsent.push([message, transfer]);
  }

  #cannotSend(id: number, cause: unknown): void {
    this.#settle(id)?.reject(invalidArgument(`the call cannot be sent to the worker: ${cause}`, { cause }));
  }

  /** Takes a call out of the pending ones: from here on it settles once. */
  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.tidy();
    return pending;
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case 'reply':
        this.#settle(message.id)?.resolve(message.value);
        break;
      case 'error': {
        const pending = this.#settle(message.id);
        const aborted = message.error.code === 'ABORTED' && pending?.signal?.aborted;
        pending?.reject(fromWire(message.error, aborted ? pending.signal?.reason : undefined));
        break;
      }
      case 'taken': {
        const pending = this.#pending.get(message.id);
        if (pending) pending.isTaken = true;
        break;
      }
      case 'progress': {
        const { rows, totalRows } = message;
        const onProgress = this.#pending.get(message.id)?.onProgress;
        if (onProgress) callSafely(() => onProgress({ rows, totalRows }));
        break;
      }
      case 'event':
        this.#onEvent(message);
        break;
      case 'token':
        void this.#answerToken(message.id, message.refresh);
        break;
      case 'pong':
        this.#isAlive();
        break;
      case 'failed':
        this.end(fromWire(message.error));
        break;
    }
  }
}

/** Calls a caller's function; what it throws is reported as an uncaught error and stops nothing here. */
export function callSafely(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    reportError(error);
  }
}
