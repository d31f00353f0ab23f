// createFrameHandler: one request from its address to its answer. It checks everything that costs nothing before it
// reads a byte of the body, and everything that costs no database before it asks the engine.
import { readBody } from './body.js';
import { allowed, preflight } from './cors.js';
import { checkDigest, digestOf, isDigest } from './digest.js';
import { Gate, type Visit } from './gate.js';
import { Problem, unavailable } from './problem.js';
import { parseRoute, type Route } from './route.js';
import type {
  Authorized,
  Constant,
  FrameHandler,
  FrameHandlerOptions,
  Limits,
  Outcome,
  Run,
  StreamState,
  Table,
  Target,
  Write,
} from './types.js';
import { Encoders, type OpenFrame } from './wasm.js';

const DEFAULT_LIMITS: Limits = {
  maxBodyBytes: 8 << 20,
  maxRows: 1_000_000,
  maxWrittenBytes: 128 << 20,
  maxDecodedBytes: 256 << 20,
  bodyTimeoutMs: 30_000,
  applyTimeoutMs: 30_000,
  maxConcurrent: 16,
  maxConcurrentPerTenant: 8,
  requestsPerSecond: 200,
};

const ARROW = 'application/vnd.apache.arrow.stream';
/** A skip says a digest and a code. */
const MAX_SKIP_BYTES = 4096;

/** Calls an operator's function: what it throws is no reason not to answer. */
function safely(call: () => void): void {
  try {
    call();
  } catch (error) {
    console.error('framelock/server: onError or onReject threw:', error);
  }
}

/**
 * Makes the handler that takes forwarded frames: a web-standard request in, a response out. Throws a `TypeError` for
 * options of the wrong kind.
 *
 * @example
 * const handler = createFrameHandler({
 *   engine: postgres(pool),
 *   tables: { ticks: {} },
 *   authorize: async (request) => {
 *     const user = await verify(request.headers.get('Authorization'));
 *     return user ? { tenant: user.org, constants: { org: user.org } } : 'UNAUTHENTICATED';
 *   },
 * });
 */
export function createFrameHandler(options: FrameHandlerOptions): FrameHandler {
  const handler = new Handler(options);
  return (request) => handler.handle(request);
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const isPolicy = (value: unknown): boolean =>
  value === undefined || ['strict', 'addColumns', 'create'].includes(value as string);
const isName = (value: unknown): boolean =>
  value === undefined || (typeof value === 'string' && value !== '');

/**
 * A mistake of whoever mounts the handler, told at once. At the first request it would be a refusal that the sender takes
 * for its own fault, or a limit that does not limit.
 */
function checkedOptions(options: FrameHandlerOptions): FrameHandlerOptions {
  const check = (fits: boolean, what: string): void => {
    if (!fits) throw new TypeError(`createFrameHandler: ${what}`);
  };
  const { engine, authorize, tables, schema, limits, origins } = options;
  check(typeof engine?.apply === 'function', 'engine must be postgres(…), pglite(…) or clickhouse(…)');
  check(typeof authorize === 'function', 'authorize must be a function');
  const isMap = isObject(tables) && !Array.isArray(tables) && !(Symbol.iterator in tables);
  check(isMap, 'tables must be an object such as { ticks: {} }');
  for (const [name, table] of Object.entries(tables)) {
    const fits = isObject(table) && isName(table.into) && isName(table.namespace) && isPolicy(table.schema);
    check(
      fits,
      `tables: ${name} must be an object of into, namespace and schema, each of which may be left out`,
    );
  }
  check(isPolicy(schema), "schema must be 'strict', 'addColumns' or 'create'");
  for (const [name, limit] of Object.entries(limits ?? {})) {
    check(Object.hasOwn(DEFAULT_LIMITS, name), `limits: there is no ${name}`);
    check(limit === undefined || (typeof limit === 'number' && limit > 0), `limits: ${name} must be above 0`);
  }
  check(
    origins === undefined || origins === '*' || Array.isArray(origins),
    "origins must be '*' or an array",
  );
  return options;
}

class Handler {
  readonly #limits: Limits;
  readonly #tables: ReadonlyMap<string, Table>;
  readonly #gate: Gate;
  readonly #encoders: Encoders;

  constructor(private readonly options: FrameHandlerOptions) {
    const { limits, tables, schema = 'strict', wasm } = checkedOptions(options);
    const given = Object.entries(limits ?? {}).filter(([, limit]) => limit !== undefined);
    this.#limits = { ...DEFAULT_LIMITS, ...Object.fromEntries(given) };
    // A map: an object would also have what it inherits.
    this.#tables = new Map(
      Object.entries(tables).map(([name, settings]) => [
        name,
        {
          name: settings.into ?? name,
          namespace: settings.namespace ?? null,
          policy: settings.schema ?? schema,
        },
      ]),
    );
    this.#gate = new Gate(this.#limits);
    this.#encoders = new Encoders(wasm);
  }

  async handle(request: Request): Promise<Response> {
    if (request.method === 'OPTIONS') return preflight(request, this.options.origins);
    const about = { stream: '', table: null as string | null };
    let response: Response;
    try {
      const route = parseRoute(new URL(request.url), request.method);
      about.stream = route.stream;
      about.table = route.frames?.table ?? null;
      response = await this.#route(request, route);
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem('INTERNAL', {}, 5, { cause: error });
      if (problem.cause !== undefined && problem.status >= 500) this.#tell(problem.cause, about);
      if (problem.code === 'REJECTED') {
        safely(() => this.options.onReject?.({ ...problem.details, cause: problem.cause }, about));
      }
      response = problem.response();
    }
    return allowed(response, request, this.options.origins);
  }

  #tell(error: unknown, about: Target): void {
    const { onError } = this.options;
    if (onError) safely(() => onError(error, about));
    else console.error(`framelock/server: stream ${about.stream}:`, error);
  }

  async #route(request: Request, route: Route): Promise<Response> {
    const { stream, frames, since } = route;
    const authorized = await this.#authorize(request, stream, frames?.table ?? null);
    const visit = this.#gate.enter(authorized.tenant);
    try {
      const key = { stream, tenant: authorized.tenant, since };
      const known = () => this.#run((run) => this.options.engine.state(key, run));
      if (!frames) {
        await visit.apply(0);
        return json(200, stateOf(await known()));
      }
      const table = this.#tables.get(frames.table);
      if (!table) throw new Problem('FORBIDDEN', { detail: 'this table is not in the allow-list' });
      const outcome = await this.#write(request, stream, frames, table, authorized, visit);
      if (outcome.trouble !== undefined) this.#tell(outcome.trouble, { stream, table: frames.table });
      // Of what was here before, the sender wants to know whether it is rows.
      const isNew = outcome.kind === 'applied' || outcome.kind === 'forked';
      return answer(isNew ? outcome : { ...outcome, state: await known() });
    } finally {
      visit.leave();
    }
  }

  async #authorize(request: Request, stream: string, table: string | null): Promise<Required<Authorized>> {
    let found: unknown;
    try {
      found = await this.options.authorize(request, { stream, table });
    } catch (error) {
      throw unavailable(error, 5);
    }
    const { tenant, constants = {}, status } = Object(found) as Authorized & { status?: unknown };
    if (found === 'FORBIDDEN' || status === 403) throw new Problem('FORBIDDEN');
    if (typeof found !== 'object' || !found || status === 401) throw new Problem('UNAUTHENTICATED');
    // An `undefined` tenant would be one that all such callers share.
    if (typeof tenant !== 'string' || tenant === '')
      throw misconfigured('authorize gave no tenant, or one that is not text');
    return { tenant, constants: checkedConstants(constants) };
  }

  async #write(
    request: Request,
    stream: string,
    frames: NonNullable<Route['frames']>,
    table: Table,
    { tenant, constants }: Required<Authorized>,
    visit: Visit,
  ): Promise<Outcome> {
    const { maxBodyBytes, maxRows, maxWrittenBytes, bodyTimeoutMs } = this.#limits;
    const { from, to, skip, after } = frames;
    const type = request.headers.get('Content-Type')?.split(';')[0]?.trim().toLowerCase();
    if (type !== (skip ? 'application/json' : ARROW)) throw new Problem('UNSUPPORTED_MEDIA');
    const maxBytes = skip ? MAX_SKIP_BYTES : maxBodyBytes;
    const body = await readBody(request, { maxBytes, timeoutMs: bodyTimeoutMs });
    const found = await checkDigest(body, request.headers.get('Content-Digest'));
    const key = { stream, tenant, from, to, after, table };
    if (skip) {
      const { digest, code } = skipOf(body);
      await visit.apply(0);
      return this.#apply({ ...key, digest, content: { skipped: code } });
    }
    const digest = itemDigest(request, from === to, found);
    // The encoder counts in integers.
    const most = (limit: number): number => Math.floor(Math.min(limit, Number.MAX_SAFE_INTEGER));
    const limits = { maxRows: most(maxRows), maxBytes: most(maxWrittenBytes) };
    // What it decompresses to is known when it is open.
    await visit.apply(maxWrittenBytes);
    const frame: OpenFrame = await this.#encoders.open(body, { constants, limits });
    try {
      visit.hold(frame.bytes);
      return await this.#apply({ ...key, digest, content: { frame } });
    } catch (error) {
      throw blamed(error, constants);
    } finally {
      frame.close();
    }
  }

  #apply(write: Write): Promise<Outcome> {
    return this.#run((run) => this.options.engine.apply(write, run));
  }

  /** Lets the engine work, and tells it when its time is over. */
  async #run<T>(work: (run: Run) => Promise<T>): Promise<T> {
    const timeoutMs = this.#limits.applyTimeoutMs;
    const controller = new AbortController();
    const late = new Error(`the database took more than ${timeoutMs} ms`);
    const timer = setTimeout(() => controller.abort(late), timeoutMs);
    try {
      return await work({ timeoutMs, signal: controller.signal });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A mistake of whoever mounts the handler; the sender keeps its rows and asks again in a minute. */
const misconfigured = (what: string) => new Problem('INTERNAL', {}, 60, { cause: new TypeError(what) });

/**
 * What is said of a column that the server itself gives its value is the server's mistake, and no reason to put the
 * browser's rows aside. (A frame that has such a column was refused when it was opened.)
 */
function blamed(error: unknown, constants: Readonly<Record<string, Constant>>): unknown {
  if (!(error instanceof Problem) || error.code !== 'REJECTED') return error;
  const { reason, column, detail = 'the database refuses it' } = error.details;
  if (column === undefined || !Object.hasOwn(constants, column)) return error;
  const cause = new Error(`the constant ${column} does not fit: ${reason}, ${detail}`, { cause: error });
  return new Problem('INTERNAL', {}, 60, { cause });
}

/**
 * The columns that `authorize` gives every row. What is no constant is refused here and not left to JSON, in which an
 * `undefined` is gone, and with it what keeps the browser from saying that column itself.
 */
function checkedConstants(constants: unknown): Readonly<Record<string, Constant>> {
  const prototype: unknown = isObject(constants) ? Object.getPrototypeOf(constants) : undefined;
  if (!isObject(constants) || (prototype !== null && prototype !== Object.prototype)) {
    throw misconfigured('the constants that authorize gave are not a plain object');
  }
  // A copy: what was checked is what is used.
  const entries = Object.entries(constants);
  for (const [name, value] of entries) {
    if (!isConstant(value))
      throw misconfigured(
        `the constant ${name} that authorize gave is not text, a finite number, a boolean or null`,
      );
  }
  return Object.fromEntries(entries) as Record<string, Constant>;
}

const isConstant = (value: unknown): value is Constant =>
  value === null ||
  typeof value === 'boolean' ||
  Number.isFinite(value) ||
  // Half of a surrogate pair is no text to the encoder.
  (typeof value === 'string' && !/\p{Surrogate}/u.test(value));

/** The digest under which the last item is recorded. */
function itemDigest(request: Request, single: boolean, body: string): string {
  const header = request.headers.get('Framelock-Item-Digest');
  if (header === null) return body;
  const said = digestOf(header);
  if (said === null || (single && said !== body)) {
    throw new Problem('DIGEST_MISMATCH', { detail: 'Framelock-Item-Digest is not the digest of the item' });
  }
  return said;
}

function skipOf(body: Uint8Array): { digest: string; code: string } {
  let skip: unknown;
  try {
    skip = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    // Not JSON: refused below as every other thing that is no skip.
  }
  const { digest, code } = (typeof skip === 'object' && skip ? skip : {}) as Record<string, unknown>;
  if (!isDigest(digest) || typeof code !== 'string' || !/^[A-Z0-9_]{1,64}$/.test(code)) {
    throw new Problem('BAD_REQUEST', { detail: 'a skip must have a digest and a code' });
  }
  return { digest, code };
}

function answer({ kind, state, rows }: Outcome): Response {
  if (kind === 'gap') throw new Problem('SEQ_GAP', stateOf(state));
  if (kind === 'forked') throw new Problem('STREAM_FORKED', stateOf(state));
  return json(kind === 'applied' ? 201 : 200, { ...stateOf(state), rows });
}

const stateOf = ({ lastSeq, lastDigest, skipped }: StreamState) => ({
  last_seq: lastSeq,
  last_digest: lastDigest,
  ...(skipped && { skipped }),
});

function json(status: number, body: object): Response {
  const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' };
  return new Response(JSON.stringify(body), { status, headers });
}
