// The encoder: src/copy as wasm. An instance works on one frame at a time; one that has grown large, or that has
// trapped, is thrown away and not used again. What its functions take and give is told in src/copy/abi.rs.
import { Problem } from './problem.js';
import type { Constant, Frame, InsertPlan, Plan } from './types.js';

/** A `WebAssembly.Module`: any object here, because types for servers (`lib` without DOM) do not know WebAssembly. */
type WasmModule = object;

/** The bytes of `framelock/server/wasm`, or the `WebAssembly.Module` that they are compiled to. */
export type WasmSource =
  Uint8Array | ArrayBuffer | WasmModule | Promise<Uint8Array | ArrayBuffer | WasmModule>;

interface Exports {
  memory: WebAssembly.Memory;
  framelock_alloc(length: number): number;
  framelock_open(frame: number, frameLength: number, opening: number, openingLength: number): number;
  framelock_plan(target: number, length: number): number;
  framelock_plan_insert(target: number, length: number): number;
  framelock_stream(tag: number, length: number): number;
  framelock_next(bytes: number): number;
  framelock_close(): void;
  framelock_result_at(): number;
  framelock_result_len(): number;
}

const REFUSED = 1;
const NOTHING_LEFT = 2;
const MISUSED = 3;

/** Memory does not shrink: an instance with more is not kept. */
const MAX_IDLE_BYTES = 32 << 20;
const MAX_IDLE = 4;

export interface OpenFrame extends Frame {
  /** The memory that it takes. */
  readonly bytes: number;
  /** Gives the instance back; the frame is of no use then. */
  close(): void;
}

export interface Opening {
  constants: Readonly<Record<string, Constant>>;
  limits: { maxRows: number; maxBytes: number };
}

/** Instances of the encoder. */
export class Encoders {
  #module: Promise<WebAssembly.Module> | undefined;
  readonly #idle: Exports[] = [];

  constructor(private readonly source?: WasmSource) {}

  /** Decodes a frame. */
  async open(bytes: Uint8Array, opening: Opening): Promise<OpenFrame> {
    const instance = this.#idle.pop() ?? (await this.#instance());
    const session = new Session(instance, (whole) => whole && this.#keep(instance));
    try {
      const { rows } = session.json<{ rows: number }>(() => {
        const [frame, told] = [session.put(bytes), session.put(encode(opening))];
        return instance.framelock_open(...frame, ...told);
      });
      return {
        rows,
        bytes: instance.memory.buffer.byteLength,
        plan: (target) => session.json<Plan>(() => instance.framelock_plan(...session.put(encode(target)))),
        planInsert: (target) =>
          session.json<InsertPlan>(() => instance.framelock_plan_insert(...session.put(encode(target)))),
        stream: (tag) =>
          session.call(() => instance.framelock_stream(...session.put(encode(tag)))) ?? new Uint8Array(),
        next: (bytes) => session.call(() => instance.framelock_next(bytes)),
        close: () => session.close(),
      };
    } catch (error) {
      session.close();
      throw error;
    }
  }

  #keep(instance: Exports): void {
    if (instance.memory.buffer.byteLength <= MAX_IDLE_BYTES && this.#idle.length < MAX_IDLE) {
      this.#idle.push(instance);
    }
  }

  async #instance(): Promise<Exports> {
    this.#module ??= load(this.source);
    const module = await this.#module.catch((error: unknown) => {
      this.#module = undefined;
      throw error;
    });
    const { exports } = await WebAssembly.instantiate(module, {});
    return exports as unknown as Exports;
  }
}

/** One frame in one instance. */
class Session {
  #open = true;
  #trapped = false;

  constructor(
    private readonly wasm: Exports,
    private readonly release: (whole: boolean) => void,
  ) {}

  /** Copies bytes in; the call that is given them frees them. */
  put(bytes: Uint8Array): [number, number] {
    const at = this.wasm.framelock_alloc(bytes.byteLength);
    new Uint8Array(this.wasm.memory.buffer, at, bytes.byteLength).set(bytes);
    return [at, bytes.byteLength];
  }

  /** Calls a function and copies its result out; null when nothing is left. */
  call(work: () => number): Uint8Array<ArrayBuffer> | null {
    if (!this.#open) throw new Error('the frame is closed');
    let status: number;
    try {
      status = work();
    } catch (error) {
      // A trap leaves the instance as it was in the middle of something.
      this.#trapped = true;
      throw error;
    }
    if (status === NOTHING_LEFT) return null;
    const [at, length] = [this.wasm.framelock_result_at(), this.wasm.framelock_result_len()];
    const result = new Uint8Array(this.wasm.memory.buffer, at, length).slice();
    if (status === REFUSED) throw refused(result);
    // Limits and policies are the operator's: nothing is wrong with the rows.
    if (status === MISUSED) throw new TypeError(new TextDecoder().decode(result));
    return result;
  }

  json<T>(work: () => number): T {
    return JSON.parse(new TextDecoder().decode(this.call(work) ?? undefined)) as T;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    if (!this.#trapped) this.wasm.framelock_close();
    this.release(!this.#trapped);
  }
}

/** A refusal of src/copy as the wire has it. */
function refused(json: Uint8Array): Problem {
  const { message: detail, ...why } = JSON.parse(new TextDecoder().decode(json)) as {
    message: string;
    reason: string;
    column?: string;
    row?: number;
  };
  return new Problem(why.reason === 'TOO_LARGE' ? 'TOO_LARGE' : 'REJECTED', { detail, ...why });
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

async function load(source: WasmSource | undefined): Promise<WebAssembly.Module> {
  const found = await (source ?? fromBeside());
  return found instanceof WebAssembly.Module ? found : WebAssembly.compile(found as BufferSource);
}

async function fromBeside(): Promise<BufferSource> {
  const url = new URL('./framelock_server.wasm', import.meta.url);
  if (url.protocol !== 'file:') return (await fetch(url)).arrayBuffer();
  const { readFile } = await import('node:fs/promises');
  return readFile(url);
}
