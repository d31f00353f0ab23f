// What a workload talks to: one contender, its frames in the form that suits it best, and its calls. The same object
// serves in the page and, for contenders that need a worker, behind worker.js.
import { makeColumns } from './frame.js';
import { countCalls } from './storage-calls.js';

export class Host {
  #contender;
  #frames = new Map();
  #calls;

  /** Loads a contender's code; what it imports and compiles is paid here. */
  async load({ module, variant, count = false }) {
    if (count) this.#calls = countCalls();
    const { start } = await import(module);
    this.#contender = await start(variant, { count });
  }

  /** Makes a frame and puts it into the contender's own form, which no workload counts. */
  async frame(key, spec) {
    this.#frames.set(key, await this.#contender.prepare(makeColumns(spec)));
  }

  /** Writes a frame in one durable transaction of its own; `create` makes the table in the same one. */
  async write(key, { table = 'ticks', create = false } = {}) {
    await this.#contender.write(this.#frames.get(key), table, create);
  }

  open(database, workload) {
    return this.#contender.open(database, workload);
  }

  exec(sql) {
    return this.#contender.exec(sql);
  }

  async one(sql) {
    return (await this.#contender.rows(sql))[0];
  }

  rows(sql) {
    return this.#contender.rows(sql);
  }

  /** All rows as Arrow; returns how many bytes or rows came. */
  arrow(sql) {
    return this.#contender.arrow(sql);
  }

  close() {
    return this.#contender.close();
  }

  remove(database) {
    return this.#contender.remove(database);
  }

  /** Calls of OPFS handles since it was last asked, where they are counted. */
  calls() {
    return this.#contender.calls?.() ?? this.#calls?.take();
  }
}

/** The operations that go through a worker by name. */
export const OPERATIONS = 'load frame write open exec one rows arrow close remove calls'.split(' ');
