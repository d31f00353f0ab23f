// Between the engine and the browser, in the test worker only: the browser's own functions, wrapped so that a plan can
// make them fail. It must be loaded before the engine; the engine knows nothing of it, nor does a normal worker.
import type { Fault, FaultCounts, FaultPlan, FileCall, FileFault, PlanMessage, PlanReply } from './plan.js';

// The page's types do not know what only workers have.
type Method = (this: unknown, ...args: unknown[]) => unknown;
type Methods = Record<string, Method>;
interface WorkerScope {
  FileSystemSyncAccessHandle?: { prototype: Methods };
  FileSystemFileHandle?: { prototype: Methods };
  FileSystemDirectoryHandle?: { prototype: Methods };
  LockManager?: { prototype: Methods };
  BroadcastChannel?: { prototype: Methods };
  onmessage?: (event: { data: unknown }) => void;
  postMessage(message: PlanReply): void;
}
const scope = globalThis as unknown as WorkerScope;

const EXCEPTIONS = {
  io: 'UnknownError',
  quota: 'QuotaExceededError',
  lost: 'NotFoundError',
  inUse: 'NoModificationAllowedError',
};

/** How long an idle lock may take to be given up, and how often that is looked at. */
const GIVE_UP_MS = 1000;
const LOOK_MS = 5;

let plan: FaultPlan = {};
let counts: FaultCounts = { files: 0, messages: 0, locks: 0 };
/** Calls seen of each kind since the plan came. */
let seen: FaultCounts = { files: 0, messages: 0, locks: 0 };
/** Lock requests that are held back until the plan ends. */
let heldBack: (() => void)[] = [];

/** Whether the call that is being made is one that fails; counts it. */
function fails(kind: keyof FaultCounts, fault: Fault | undefined): boolean {
  if (!fault) return false;
  const nth = seen[kind]++;
  const { after = 0, times = 1 } = fault;
  if (nth < after || nth >= after + times) return false;
  counts[kind] += 1;
  return true;
}

/** Which file of a database a name means. */
function fileKind(name: string | undefined): FileFault['file'] {
  if (name === undefined) return undefined;
  if (/\.(frame|tmp|error|why)$/.test(name)) return 'queue';
  return name.endsWith('-journal') ? 'journal' : 'database';
}

/** Throws when a file call is to fail. */
function fileCall(call: FileCall, name: string | undefined): void {
  const fault = plan.files;
  if (!fault || (fault.call !== undefined && fault.call !== call)) return;
  if (fault.file !== undefined && fault.file !== fileKind(name)) return;
  if (!fails('files', fault)) return;
  throw new DOMException(`framelock/testing made this ${call} fail`, EXCEPTIONS[fault.error ?? 'io']);
}

/** Puts `wrapper` in place of a method. */
function wrap(owner: { prototype: Methods } | undefined, method: string, wrapper: (own: Method) => Method) {
  const own = owner?.prototype[method];
  if (own) owner.prototype[method] = wrapper(own);
}

const nameOf = (handle: unknown) => (handle as { name?: string }).name;
/** The names of files that are open. */
const names = new WeakMap<object, string | undefined>();

for (const call of ['read', 'write', 'truncate', 'flush'] as const) {
  wrap(scope.FileSystemSyncAccessHandle, call, (own) => {
    return function (...args) {
      fileCall(call, names.get(this as object));
      return own.apply(this, args);
    };
  });
}

wrap(scope.FileSystemFileHandle, 'createSyncAccessHandle', (own) => {
  return async function (...args) {
    const name = nameOf(this);
    fileCall('open', name);
    const handle = (await own.apply(this, args)) as object;
    names.set(handle, name);
    return handle;
  };
});

wrap(scope.FileSystemFileHandle, 'move', (own) => {
  return async function (...args) {
    fileCall('move', nameOf(this));
    return own.apply(this, args);
  };
});

wrap(scope.FileSystemDirectoryHandle, 'removeEntry', (own) => {
  return async function (...args) {
    fileCall('remove', args[0] as string);
    return own.apply(this, args);
  };
});

wrap(scope.BroadcastChannel, 'postMessage', (own) => {
  return function (...args) {
    if (!fails('messages', plan.messages)) own.apply(this, args);
  };
});

/** How many locks this worker has, but for the one that says that its handle is open. */
let locksHeld = 0;

wrap(scope.LockManager, 'request', (own) => {
  return async function (name, options, callback) {
    if (fails('locks', plan.locks)) await held((options as { signal?: AbortSignal }).signal);
    const counted = async (lock: unknown) => {
      locksHeld += 1;
      try {
        return await (callback as Method)(lock);
      } finally {
        locksHeld -= 1;
      }
    };
    return own.call(this, name, options, String(name).endsWith('/open') ? callback : counted);
  };
});

/** Waits for the end of the plan; rejects when the request is taken back before. */
function held(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    heldBack.push(resolve);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** The handle lets go of a lock that it does not use, as it does when its page is hidden. A busy one keeps it. */
async function giveUpIdleLock(): Promise<void> {
  const tell = (state: string) => scope.onmessage?.({ data: { kind: 'lifecycle', state } });
  tell('hidden');
  for (let waited = 0; locksHeld > 0 && waited < GIVE_UP_MS; waited += LOOK_MS) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  tell('visible');
}

async function obey({ id, plan: next }: PlanMessage): Promise<void> {
  const reply: PlanReply = { kind: 'faults', id, counts };
  plan = {};
  for (const release of heldBack.splice(0)) release();
  if (next.locks) await giveUpIdleLock();
  plan = next;
  seen = { files: 0, messages: 0, locks: 0 };
  counts = { files: 0, messages: 0, locks: 0 };
  scope.postMessage(reply);
}

addEventListener('message', (event) => {
  const message = (event as MessageEvent<PlanMessage>).data;
  if (message.kind !== 'faults') return;
  // The engine's own listener comes after this one, and would take it for a message of the protocol.
  event.stopImmediatePropagation();
  void obey(message);
});
