// A stand-in for the worker: it speaks the protocol of www/client/messages.ts and does what a test's SQL or name says.
// With it the page's half is tested without an engine, in ways in which a real engine never misbehaves on purpose.
const log = [];
let name;
let lastTx = 0;

const post = (message) => postMessage(message);

function answer({ id, op, args, buffers }) {
  if (op === 'append') {
    const bytes = buffers.reduce((sum, { length }) => sum + length, 0);
    if (args.table === 'unread') return;
    post({ kind: 'taken', id });
    if (args.table === 'silent') return;
    if (args.progress) post({ kind: 'progress', id, rows: 1, totalRows: 2 });
    const first = buffers[0]?.[0];
    return post({
      kind: 'reply',
      id,
      value: { table: args.table, rows: bytes, first, path: args.tx ? 'joined' : 'direct' },
    });
  }
  if (op === 'exec') {
    if (args.sql === 'throw') throw new Error('nobody caught this');
    if (args.sql === 'reject') return void Promise.reject(new Error('nobody awaited this'));
    if (args.sql === 'trap') return void Promise.reject(new WebAssembly.RuntimeError('unreachable'));
    if (args.sql === 'stop') return close();
    if (args.sql === 'never') return;
    if (args.sql === 'error') {
      return post({ kind: 'error', id, error: { code: 'SQL', message: 'no', sqliteCode: 1, table: 't' } });
    }
    if (args.sql === 'event')
      post({ kind: 'event', event: 'commit', detail: { tables: ['t'], frameIds: [] } });
    return post({ kind: 'reply', id, value: { changes: 0, lastInsertRowid: 0n } });
  }
  if (op === 'close' && name === 'stuck') return;
  if (op === 'begin') return post({ kind: 'reply', id, value: { tx: ++lastTx } });
  if (op === 'commit' && log.some((m) => m.op === 'exec' && m.args.sql === 'poison')) {
    return post({ kind: 'error', id, error: { code: 'CONSTRAINT', message: 'deferred' } });
  }
  if (op === 'export') return post({ kind: 'reply', id, value: log });
  if (op === 'streamOpen') return post({ kind: 'reply', id, value: { cursor: 9 } });
  if (op === 'streamNext') {
    const nth = log.filter((m) => m.op === 'streamNext').length;
    return post({ kind: 'reply', id, value: nth > 3 ? null : Uint8Array.of(nth) });
  }
  post({ kind: 'reply', id, value: undefined });
}

onmessage = ({ data }) => {
  log.push(data);
  if (data.kind === 'open') {
    ({ name } = data);
    if (data.name === 'refused')
      return post({ kind: 'failed', error: { code: 'NOT_A_DATABASE', message: 'no' } });
    if (data.name === 'silent') return;
    post({ kind: 'opened' });
  } else if (data.kind === 'cancel') {
    post({ kind: 'error', id: data.id, error: { code: 'ABORTED', message: 'cancelled' } });
  } else if (data.kind === 'call') {
    answer(data);
  }
};

const failed = (reason) =>
  post({ kind: 'failed', error: { code: 'WORKER_FAILED', message: String(reason) } });
addEventListener('unhandledrejection', (event) => failed(event.reason));
