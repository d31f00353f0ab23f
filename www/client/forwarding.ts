// What the page has to do with forwarding: the options of openDatabase, tokens, and db.forwarding. Sending is the
// engine's, in the worker.
import { callback, describe, integer, number, ownOptions, resolved, tableName, url } from './arguments.js';
import type { Channel } from './channel.js';
import { invalidArgument } from './errors.js';
import type { StartMessage } from './messages.js';
import type { DeadLetter, Forwarding, ForwardOptions } from './forward-types.js';

/** The part of the options that goes to the worker. */
export type WireForward = NonNullable<Extract<StartMessage, { kind: 'open' }>['options']['forward']>;

/** Asks the page's own code for a token. */
export type GetToken = NonNullable<ForwardOptions['getToken']>;

/** `options.forward`, checked: what the worker is told, and whom to ask for tokens. */
export function forwardOptions(given: unknown): { forward: WireForward; getToken: GetToken | undefined } {
  const own = ownOptions<ForwardOptions>('forward', given, {
    url,
    getToken: callback,
    tables: (value) => (Array.isArray(value) ? undefined : 'an array of table names'),
    keepMs: number(0),
    keepBytes: number(0),
  });
  const forward: WireForward = {
    url: baseUrl(own.url),
    hasToken: own.getToken !== undefined,
    tables: Array.from((own.tables ?? []) as readonly unknown[], tableName),
  };
  if (own.keepMs !== undefined) forward.keepMs = own.keepMs;
  if (own.keepBytes !== undefined) forward.keepBytes = own.keepBytes;
  return { forward, getToken: own.getToken };
}

/** The address below which `/v1/…` is. */
function baseUrl(given: string | URL | undefined): string {
  if (given === undefined) throw invalidArgument('forward: url is missing');
  const address = resolved('forward: url', given);
  if (!/^https?:$/.test(address.protocol) || address.search || address.hash || address.username) {
    const wanted = 'an http or https address without a query, a fragment or a user';
    throw invalidArgument(`forward: url must be ${wanted}, not ${describe(given)}`);
  }
  return address.href.replace(/\/+$/, '');
}

/** A token from the page's code, or nothing: it threw, or gave no text that can be sent. */
export async function askForToken(
  getToken: GetToken | undefined,
  refresh: boolean,
): Promise<string | undefined> {
  try {
    const token: unknown = await getToken?.({ refresh });
    // What a header cannot hold would make every request fail. The message has no token in it.
    if (typeof token === 'string' && /^[\x21-\x7e]+$/.test(token)) return token;
    if (getToken) throw invalidArgument('forward: getToken must give a token: ASCII text without spaces');
  } catch (error) {
    reportError(error);
  }
  return undefined;
}

/** `db.forwarding`. */
export function forwardingOf(host: { readonly channel: Channel }): Forwarding {
  const ask = async (what: 'pause' | 'resume' | 'restart') => {
    await host.channel.call('forwarding', { what });
  };
  const settle = async (what: 'retry' | 'discard', letter: number) => {
    const wanted = integer(0)(letter);
    if (wanted) throw invalidArgument(`a dead letter's id is ${wanted}, not ${describe(letter)}`);
    await host.channel.call('forwarding', { what, letter });
  };
  return Object.freeze({
    pause: () => ask('pause'),
    resume: () => ask('resume'),
    restart: () => ask('restart'),
    deadLetters: async () => (await host.channel.call('forwarding', { what: 'deadLetters' })) as DeadLetter[],
    retryDeadLetter: (id: number) => settle('retry', id),
    discardDeadLetter: (id: number) => settle('discard', id),
  });
}
