// Who may come in: so many requests at once, of all and of one tenant, and so many a second of one tenant. It counts
// in memory, of this process alone; nothing in it grows with the number of tenants that ever came.
import { Problem } from './problem.js';
import type { Limits } from './types.js';

/** Tenants whose rate is remembered; the one that was seen longest ago is forgotten first. */
const MAX_TENANTS = 10_000;

interface Visitor {
  inside: number;
  /** Requests that may come now; a second brings `requestsPerSecond` more. */
  tokens: number;
  /** When the tokens were counted. */
  at: number;
}

export class Gate {
  #inside = 0;
  readonly #visitors = new Map<string, Visitor>();

  constructor(
    private readonly limits: Limits,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Lets a request in, or throws; what it gives lets it out again. */
  enter(tenant: string): () => void {
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
    if (visitor.inside >= maxConcurrentPerTenant) throw new Problem('RATE_LIMITED', {}, 1);
    if (this.#inside >= maxConcurrent) throw new Problem('UNAVAILABLE', { detail: 'busy' }, 1);
    visitor.tokens -= 1;
    visitor.inside += 1;
    this.#inside += 1;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      visitor.inside -= 1;
      this.#inside -= 1;
    };
  }

  /** The tenant's counters, moved to the end of the line of those that are forgotten. */
  #visitor(tenant: string): Visitor {
    const known = this.#visitors.get(tenant);
    const visitor = known ?? {
      inside: 0,
      tokens: Math.max(1, this.limits.requestsPerSecond),
      at: this.now(),
    };
    this.#visitors.delete(tenant);
    this.#visitors.set(tenant, visitor);
    if (this.#visitors.size > MAX_TENANTS) {
      for (const [name, { inside }] of this.#visitors) {
        if (inside > 0) continue;
        this.#visitors.delete(name);
        break;
      }
    }
    return visitor;
  }
}
