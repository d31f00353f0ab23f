// The channel of a handle, and the next one: a worker that died, since its wasm trapped or ran out of memory, takes
// the calls under way with it and not the handle. What its successor must be told again is told here.
import type { Channel, Started } from './channel.js';
import { watchLifecycle } from './lifecycle.js';
import type { EventMessage } from './messages.js';

/** So long after its worker died a handle that only listens or forwards has another one: one that dies at once, each time, is no load. */
const AGAIN_MS = 10_000;

/** The one channel that a handle has at a time. */
export class Channels {
  #current: Channel;
  readonly #open: (started: Started | Promise<Started>) => Channel;
  readonly #start: (() => Promise<Started>) | undefined;
  /** The events that the engine was asked for; it sends no others. */
  readonly #asked = new Set<EventMessage['event']>();
  #works: boolean;
  #stopWatching = () => {};

  /**
   * Begins with a worker that has started. `start` starts another one in its place; without it the handle dies with
   * the first. `works`: it has work to do though nobody calls.
   */
  constructor(
    started: Started,
    open: (started: Started | Promise<Started>) => Channel,
    start: (() => Promise<Started>) | undefined,
    works: boolean,
  ) {
    this.#open = open;
    this.#start = start;
    this.#works = works;
    this.#current = this.#begin(started);
  }

  /** The channel for the next call. */
  get current(): Channel {
    if (this.#current.hasFailed && this.#start) this.#current = this.#begin(this.#start());
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

  #begin(started: Started | Promise<Started>): Channel {
    this.#stopWatching();
    const channel = this.#open(started);
    for (const event of this.#asked) channel.listen(event);
    this.#stopWatching = watchLifecycle((state) => channel.lifecycle(state));
    channel.over.addEventListener('abort', () => {
      this.#stopWatching();
      if (this.#start && this.#works && channel.hasFailed) setTimeout(() => this.current, AGAIN_MS);
    });
    return channel;
  }
}
