// Who may come in: so many bodies on their way at once, so many requests at the database, so much memory for what is
// decoded, and so many requests a second of one tenant. It counts in memory, of this process alone; nothing in it grows
// with the number of tenants that ever came.
//
// A body takes as long as its sender likes, within limits; so those that arrive are counted apart, and a few senders
// that drip keep nobody from the database. A request whose body is there is not sent away but waits for its turn.
import { Problem } from './problem.js';
import type { Limits } from './types.js';

/** Tenants whose rate is remembered; the one that was seen longest ago is forgotten first. */
const MAX_TENANTS = 10_000;
/** Bodies on their way, or waiting for their turn, for each request that may be at the database. */
const READING_EACH = 4;

interface Visitor {
  reading: number;
  applying: number;
  /** Requests that may come now; a second brings `requestsPerSecond` more. */
  tokens: number;
  /** When the tokens were counted. */
  at: number;
}

/** A request that was let in. */
export interface Visit {
  /** Waits for a turn at the database, and for so many bytes of memory. */
  apply(bytes: number): Promise<void>;
  /** Says how many bytes it has come to. */
  hold(bytes: number): void;
  leave(): void;
}

export class Gate {
  #reading = 0;
  #applying = 0;
  #held = 0;
  #waiting: (() => void)[] = [];
  readonly #visitors = new Map<string, Visitor>();

  constructor(
    private readonly limits: Limits,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Lets a request in, whose body is read next, or throws. */
  enter(tenant: string): Visit {
    const { maxConcurrent, maxConcurrentPerTenant, requestsPerSecond } = this.limits;
    const visitor = this.#visitor(tenant);
    const now = this.now();
    visitor.tokens = Math.min(
      Math.max(1, requestsPerSecond),
      visitor.tokens + ((now - visitor.at) / 1000) * requestsPerSecond,
    );
    visitor.at = now;
    if (visitor.tokens < 1) {
      throw new Problem('RATE_LIMITED', {}, (1 - visitor.tokens) / requestsPerSecond);
    }
    if (visitor.reading >= maxConcurrentPerTenant) throw new Problem('RATE_LIMITED', {}, 1);
    if (this.#reading >= READING_EACH * maxConcurrent)
      throw new Problem('UNAVAILABLE', { detail: 'busy' }, 1);
    visitor.tokens -= 1;
    this.#count(visitor, 'reading', 1);
    let where: 'reading' | 'applying' | 'outside' = 'reading';
    let held = 0;
    const hold = (bytes: number): void => {
      this.#held += bytes - held;
      held = bytes;
      this.#wake();
    };
    return {
      apply: async (bytes) => {
        while (!this.#hasRoom(visitor, bytes)) await new Promise<void>((go) => this.#waiting.push(go));
        this.#count(visitor, 'reading', -1);
        this.#count(visitor, 'applying', 1);
        where = 'applying';
        hold(bytes);
      },
      hold,
      leave: () => {
        if (where === 'outside') return;
        this.#count(visitor, where, -1);
        where = 'outside';
        hold(0);
      },
    };
  }

  #hasRoom(visitor: Visitor, bytes: number): boolean {
    const { maxConcurrent, maxConcurrentPerTenant, maxDecodedBytes } = this.limits;
    return (
      visitor.applying < maxConcurrentPerTenant &&
      this.#applying < maxConcurrent &&
      // One that alone is more than all would wait for ever.
      (this.#held === 0 || this.#held + bytes <= maxDecodedBytes)
    );
  }

  #count(visitor: Visitor, where: 'reading' | 'applying', more: 1 | -1): void {
    visitor[where] += more;
    if (where === 'reading') this.#reading += more;
    else this.#applying += more;
  }

  /** Those who wait look again, in the order in which they came. */
  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  /** The tenant's counters, moved to the end of the line of those that are forgotten. */
  #visitor(tenant: string): Visitor {
    const known = this.#visitors.get(tenant);
    const visitor = known ?? {
      reading: 0,
      applying: 0,
      tokens: Math.max(1, this.limits.requestsPerSecond),
      at: this.now(),
    };
    this.#visitors.delete(tenant);
    this.#visitors.set(tenant, visitor);
    if (this.#visitors.size > MAX_TENANTS) {
      for (const [name, { reading, applying }] of this.#visitors) {
        if (reading + applying > 0) continue;
        this.#visitors.delete(name);
        break;
      }
    }
    return visitor;
  }
}
