// One write transaction around a caller's function: begin, run, then commit or roll back. It never retries the
// function, which may have had effects of its own.
import { describe } from './arguments.js';
import { abortedBy } from './channel.js';
import { FramelockError, invalidArgument } from './errors.js';
import { transactionOptions } from './options.js';
import { HandleStatements, type Host } from './statements.js';
import type { Transaction, TransactionOptions } from './types.js';

/** A promise that rejects when the signal fires or the handle is at its end, and one to forget it by. */
function ending(
  signal: AbortSignal | undefined,
  over: AbortSignal,
): { rejects: Promise<never>; forget(): void } {
  let forget = () => {};
  const rejects = new Promise<never>((_, reject) => {
    const abort = () => reject(signal?.aborted ? abortedBy(signal) : over.reason);
    const signals = [signal, over].filter((signal) => signal !== undefined);
    forget = () => signals.forEach((signal) => signal.removeEventListener('abort', abort));
    if (signals.some(({ aborted }) => aborted)) abort();
    else signals.forEach((signal) => signal.addEventListener('abort', abort));
  });
  return { rejects, forget };
}

/** The statements of a transaction, which refuse once it has ended. */
function statementsOf(host: Host, tx: number): { transaction: Transaction; end(): void } {
  const statements = new HandleStatements(host, tx);
  let ended = false;
  const whileOpen = <A extends unknown[], R>(method: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      if (ended) throw new FramelockError('CLOSED', 'the transaction has ended');
      return method.apply(statements, args);
    };
  };
  const transaction: Transaction = {
    appendFrame: whileOpen(statements.appendFrame),
    exec: whileOpen(statements.exec),
    query: whileOpen(statements.query) as Transaction['query'],
    queryColumns: whileOpen(statements.queryColumns) as Transaction['queryColumns'],
    queryArrow: whileOpen(statements.queryArrow),
  };
  return { transaction: Object.freeze(transaction), end: () => (ended = true) };
}

/** Runs `fn` in a transaction of the host's handle. */
export async function runTransaction<T>(
  host: Host,
  fn: (tx: Transaction) => Promise<T> | T,
  options?: TransactionOptions,
): Promise<T> {
  if (typeof fn !== 'function') throw invalidArgument(`transaction needs a function, not ${describe(fn)}`);
  const { signal, ...args } = transactionOptions(options, host.defaults);
  // Its number means something to this worker alone, and not to one that takes its place.
  const { channel } = host;
  const { tx } = await channel.call('begin', args, { signal });
  const { transaction, end } = statementsOf({ ...host, channel }, tx);
  const { rejects, forget } = ending(signal, channel.over);
  try {
    // In a then, so that a function that throws before its first await is rolled back like any other.
    const value = await Promise.race([Promise.resolve(transaction).then(fn), rejects]);
    end();
    await channel.call('commit', { tx });
    host.onWrite();
    return value;
  } catch (error) {
    end();
    // What ended the transaction is what the caller must hear; a roll-back that fails has nothing to add.
    await channel.call('rollback', { tx }).catch(() => {});
    throw error;
  } finally {
    forget();
  }
}
