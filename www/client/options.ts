// The options of every public call: which there are, what each may be, and how a handle's defaults combine with a
// call's own. Nothing is sent from here.
import {
  callback,
  type Check,
  describe,
  flag,
  guarded,
  integer,
  number,
  oneOf,
  ownOptions,
  signal,
  text,
  url,
} from './arguments.js';
import { invalidArgument } from './errors.js';
import { isEngineHost } from './spawn.js';
import type {
  AppendOptions,
  AssetOptions,
  Fallback,
  OpenOptions,
  QueryOptions,
  RetryPolicy,
  StatementOptions,
  StreamOptions,
  TransactionOptions,
} from './types.js';

/** What a handle's appends use where a call says nothing. */
export interface Defaults {
  retry: RetryPolicy;
  fallback: Fallback;
}

/** The deadline of an append for which nobody named one (CONTRACT: RetryPolicy). */
export const DEADLINE_MS = 15_000;

type SignalOptions = { signal?: AbortSignal };
type Checks<T> = { [K in keyof Required<T>]: Check };

/** Its fields are looked at by `retryPolicy`, or by `forwardOptions`. */
const later: Check = () => undefined;

const FALLBACK = oneOf('handoff', 'queue', 'none');
/** What framelock/here exports. */
const engine: Check = (value) => (isEngineHost(value) ? undefined : 'what framelock/here exports');

const ASSETS: Checks<AssetOptions> = { workerUrl: url, wasmUrl: url, engine };
/** A day, in milliseconds: who wants to wait longer waits so long. */
const LONGEST_MS = 86_400_000;
const MOST_ATTEMPTS = 2 ** 32 - 1;
const MOST_FACTOR = 1000;
const time = number(0);
const STATEMENT: Checks<StatementOptions> = { timeoutMs: time, signal };
const QUERY: Checks<QueryOptions> = { ...STATEMENT, int64: oneOf('bigint', 'number'), dates: flag };
const STREAM: Checks<StreamOptions> = { ...QUERY, batchRows: integer(1) };
const TRANSACTION: Checks<TransactionOptions> = { retry: later, ...STATEMENT };
const OPEN: Checks<OpenOptions> = {
  ...ASSETS,
  storage: oneOf('opfs', 'memory'),
  durability: oneOf('full', 'relaxed'),
  persist: oneOf('auto', 'never'),
  retry: later,
  fallback: FALLBACK,
  forward: later,
};
const RETRY: Checks<RetryPolicy> = {
  attempts: integer(0),
  lockTimeoutMs: time,
  baseDelayMs: time,
  factor: number(1),
  maxDelayMs: time,
  jitter: flag,
  deadlineMs: time,
};
const APPEND: Checks<AppendOptions> = {
  mode: oneOf('create', 'append', 'createAppend', 'replace', 'deleteRows', 'upsert', 'ignore'),
  key: later,
  match: oneOf('name', 'position'),
  extraColumns: oneOf('error', 'drop', 'add'),
  missingColumns: oneOf('error', 'default'),
  types: later,
  lossy: oneOf('error', 'warn', 'allow'),
  frameId: text(128),
  retry: later,
  fallback: FALLBACK,
  forward: flag,
  signal,
  onProgress: callback,
};

/** A retry policy over another one, field by field. Neither object is kept. */
function retryPolicy(given: unknown, under?: RetryPolicy): RetryPolicy {
  const own = ownOptions<RetryPolicy>('retry', given, RETRY);
  for (const key of ['lockTimeoutMs', 'baseDelayMs', 'maxDelayMs', 'deadlineMs'] as const) {
    if (own[key] !== undefined) own[key] = Math.min(own[key], LONGEST_MS);
  }
  if (own.attempts !== undefined) own.attempts = Math.min(own.attempts, MOST_ATTEMPTS);
  if (own.factor !== undefined) own.factor = Math.min(own.factor, MOST_FACTOR);
  return Object.assign(Object.create(null), under, own);
}

/** Options of a statement, which waits a day at most. */
function waiting<T extends { timeoutMs?: number }>(own: T): T {
  if (own.timeoutMs !== undefined) own.timeoutMs = Math.min(own.timeoutMs, LONGEST_MS);
  return own;
}

/** The options of `openDatabase`, complete but for the addresses. */
export function openOptions(
  given: unknown,
): Required<Omit<OpenOptions, keyof AssetOptions | 'forward'>> & AssetOptions & { forward?: unknown } {
  const own = ownOptions<OpenOptions>('options', given, OPEN);
  return {
    __proto__: null,
    storage: 'opfs',
    durability: 'full',
    persist: 'auto',
    fallback: 'handoff',
    ...own,
    retry: retryPolicy(own.retry),
  } as ReturnType<typeof openOptions>;
}

/** The options of calls that only start a worker. */
export const assetOptions = (given: unknown): AssetOptions =>
  ownOptions<AssetOptions>('options', given, ASSETS);
/** The options of `exec`. */
export const statementOptions = (given: unknown): StatementOptions =>
  waiting(ownOptions<StatementOptions>('options', given, STATEMENT));
/** The options of `query`, `queryColumns` and `queryArrow`. */
export const queryOptions = (given: unknown): QueryOptions =>
  waiting(ownOptions<QueryOptions>('options', given, QUERY));
/** The options of `stream`. */
export const streamOptions = (given: unknown): StreamOptions =>
  waiting(ownOptions<StreamOptions>('options', given, STREAM));
/** The options of `drain` and `whenCommitted`. */
export const signalOptions = (given: unknown): SignalOptions =>
  ownOptions<SignalOptions>('options', given, { signal });

/**
 * The options of `transaction`, with the handle's retry policy under the call's own. A call that names none waits as
 * statements do: the handle's is for its appends. So does one without attempts, for want of another rung.
 */
export function transactionOptions(given: unknown, defaults: Defaults): TransactionOptions {
  const own = waiting(ownOptions<TransactionOptions>('options', given, TRANSACTION));
  if (own.retry !== undefined) own.retry = retryPolicy(own.retry, defaults.retry);
  if (own.retry?.attempts === 0) delete own.retry;
  return own;
}

/** The options of `appendFrame`, with the handle's defaults under them and lists and maps copied. */
export function appendOptions(
  given: unknown,
  defaults: Defaults,
): AppendOptions & { retry: RetryPolicy; fallback: Fallback } {
  const own = ownOptions<AppendOptions>('options', given, APPEND);
  if (own.key !== undefined) own.key = columnNames(own.key);
  if (own.types !== undefined) own.types = typeNames(own.types);
  return Object.assign(own, {
    retry: retryPolicy(own.retry, defaults.retry),
    fallback: own.fallback ?? defaults.fallback,
  });
}

/** A copy of the `key` option. */
function columnNames(given: unknown): string[] {
  const wanted = 'options: key must be a non-empty array of strings';
  return guarded('options: key', () => {
    if (!Array.isArray(given)) throw invalidArgument(`${wanted}, not ${describe(given)}`);
    const names = Array.from(given as unknown[]);
    if (names.length === 0 || !names.every((name) => typeof name === 'string')) throw invalidArgument(wanted);
    return names as string[];
  });
}

/** A copy of the `types` option; which types there are is the engine's to say. Column names may be anything. */
function typeNames(given: unknown): Record<string, string> {
  const isType = text();
  const any = new Proxy({} as Record<string, Check>, {
    get: () => isType,
    getOwnPropertyDescriptor: () => ({ value: isType, configurable: true }),
  });
  return ownOptions<Record<string, string>>('types', given, any);
}
