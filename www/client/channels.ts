// The channel of a handle, and the next one: a worker that died, since its wasm trapped or ran out of memory, takes
// the calls under way with it and not the handle. What its successor must be told again is told here.
import type { Channel, Start, Started } from './channel.js';
import { watchLifecycle } from './lifecycle.js';
import type { EventMessage } from './messages.js';

/**
 * A handle that only listens or forwards has another worker at once, and so long after one that lived shorter than that:
 * one that dies at once, each time, is no load.
 */
const AGAIN_MS = 10_000;

const listeners = new WeakMap<object, Set<() => void>>();

/** Calls `tell` whenever a handle has another worker: it heard nothing meanwhile. Returns a function that stops. */
export function whenRestarted(db: object, tell: () => void): () => void {
  const own = listeners.get(db) ?? new Set();
  listeners.set(db, own.add(tell));
  return () => void own.delete(tell);
}

/** A handle has another worker. */
export function tellRestarted(db: object): void {
  for (const tell of listeners.get(db) ?? []) tell();
}

/** The one channel that a handle has at a time. */
export class Channels {
  #current: Channel;
  readonly #open: (started: Started | Start) => Channel;
  readonly #start: Start | undefined;
  readonly #onRestart: () => void;
  /** The events that the engine was asked for; it sends no others. */
  readonly #asked = new Set<EventMessage['event']>();
  #works: boolean;
  #stopWatching = () => {};

  /**
   * Begins with a worker that has started. `start` starts another one in its place; without it the handle dies with
   * the first. `works`: it has work to do though nobody calls. `onRestart` is called when another one has started.
   */
  constructor(
    started: Started,
    open: (started: Started | Start) => Channel,
    start: Start | undefined,
    works: boolean,
    onRestart: () => void,
  ) {
    this.#open = open;
    this.#start = start;
    this.#works = works;
    this.#onRestart = onRestart;
    this.#current = this.#begin(started);
  }

  /** The channel for the next call. */
  get current(): Channel {
    const start = this.#start;
    if (this.#current.hasFailed && start) {
      this.#current = this.#begin(async (signal) => {
        const started = await start(signal);
        queueMicrotask(this.#onRestart);
        return started;
      });
    }
    return this.#current;
  }

  /** The channel of the last call, be its worker dead. */
  get last(): Channel {
    return this.#current;
  }

  /** Asks for an event's messages. */
  listen(event: EventMessage['event']): void {
    if (this.#asked.has(event)) return;
    this.#asked.add(event);
    this.#works = true;
    this.current.listen(event);
  }

  #begin(started: Started | Start): Channel {
    const began = performance.now();
    this.#stopWatching();
    const channel = this.#open(started);
    for (const event of this.#asked) channel.listen(event);
    this.#stopWatching = watchLifecycle((state) => channel.lifecycle(state));
    channel.over.addEventListener('abort', () => {
      this.#stopWatching();
      if (!this.#start || !this.#works || !channel.hasFailed) return;
      setTimeout(() => this.current, performance.now() - began < AGAIN_MS ? AGAIN_MS : 0);
    });
    return channel;
  }
}
