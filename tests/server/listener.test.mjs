// The handler behind Node's web server: its listener, HTTP/2, what stands before it, and bodies that come slowly or in part.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect } from 'node:net';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { createFrameHandler, toNodeListener } from '../../dist/server/index.js';
import { arrow, frameOf } from './frames.mjs';
import { listen } from './listen.mjs';
import { ARROW, authorize, digestOf, engine, frameRequest, read, stateRequest } from './wire.mjs';

const STREAM = '00000000-0000-4000-8000-000000000001';

test("node's listener: any path, any header, and a connection that is used again", async () => {
  const handler = createFrameHandler({ engine, authorize, tables: { t: {} } });
  const web = await listen(handler);
  try {
    const state = await read(await fetch(stateRequest(STREAM, { base: web.base })));
    assert.deepEqual(state, { status: 200, last_seq: 0, last_digest: null });
    for (const [path, status] of [
      ['//', 404],
      ['/%', 404],
      ['/v1/streams/%ff', 400],
      ['/?x', 404],
    ]) {
      assert.equal((await fetch(new URL(web.base).origin + path)).status, status, path);
    }
    const post = await fetch(web.base, { method: 'POST', body: 'x'.repeat(100_000) });
    assert.equal(post.status, 404);
  } finally {
    await web.close();
  }
});

test("node's HTTP/2: names that are no headers are left out; what fails before the handler is told", async () => {
  const handler = createFrameHandler({ engine, authorize, tables: { t: {} } });
  const errors = [];
  const server = createHttp2Server(toNodeListener(handler, (error) => errors.push(error)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connectHttp2(`http://127.0.0.1:${server.address().port}`);
  const ask = async (headers, body) => {
    const stream = session.request({ authorization: 'Bearer alice', ...headers });
    let status;
    stream.on('response', (found) => (status = found[':status']));
    stream.on('error', () => undefined);
    stream.resume();
    stream.end(body);
    await once(stream, 'close');
    return status;
  };
  const path = `/v1/streams/${STREAM}`;
  assert.equal(await ask({ ':path': path }), 200);
  const put = { ':method': 'PUT', ':path': `${path}/frames/1?table=t`, 'content-type': ARROW };
  assert.equal(await ask({ ...put, 'content-digest': digestOf('x') }, 'x'), 422);
  assert.deepEqual(errors, []);
  // A method that no Request may have.
  assert.equal(await ask({ ':method': 'TRACE', ':path': path }), 500);
  assert.match(errors.map(String).join(), /TRACE/);
  session.close();
  server.close();
});

/** A sender that writes by hand: its head, and then what a test says; what it is answered is in `answer`. */
async function dripping(server, length) {
  const socket = connect(server.address().port, '127.0.0.1');
  const put = `PUT /v1/streams/${STREAM}/frames/1?table=t HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice`;
  socket.write(`${put}\r\nContent-Type: ${ARROW}\r\nContent-Length: ${length}\r\n\r\n`);
  const sender = { socket, answer: '', over: once(socket, 'close') };
  socket.on('data', (bytes) => (sender.answer += bytes));
  return sender;
}

test('a body that was given up, and whose end comes all the same, ends nothing but its request', async () => {
  const limits = { bodyTimeoutMs: 50 };
  const web = await listen(createFrameHandler({ engine, authorize, tables: { t: {} }, limits }));
  try {
    const { socket, ...sender } = await dripping(web.server, 4);
    socket.write('ab');
    await once(socket, 'data');
    // An error here is one that nobody caught: it would end the server.
    socket.write('cd');
    socket.end();
    await sender.over;
    assert.equal((await fetch(web.base)).status, 404);
  } finally {
    await web.close();
  }
});

test('a sender that reads nothing before it has written everything sees that it was refused', async () => {
  const refuses = () => 'UNAUTHENTICATED';
  const web = await listen(createFrameHandler({ engine, authorize: refuses, tables: { t: {} } }));
  try {
    const sender = await dripping(web.server, 12 << 20);
    sender.socket.pause();
    await new Promise((written) => sender.socket.write(new Uint8Array(12 << 20), written));
    sender.socket.resume();
    await once(sender.socket, 'data');
    assert.match(sender.answer, /^HTTP\/1.1 401 /);
    sender.socket.end();
    await sender.over;
  } finally {
    await web.close();
  }
});

/** A web server with a middleware in front, as Express has it; what the handler is asked to write is in `writes`. */
async function behind(middleware) {
  const [writes, errors] = [[], []];
  const taking = { ...engine, apply: async (write) => (writes.push(write), APPLIED) };
  const onError = (error) => errors.push(error.message);
  const listener = toNodeListener(
    createFrameHandler({ engine: taking, authorize, tables: { t: {} }, onError }),
  );
  const server = createServer((request, response) =>
    middleware(request).then(() => listener(request, response)),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${server.address().port}/sync`;
  return { base, port: server.address().port, writes, errors, server };
}
const APPLIED = { kind: 'applied', state: { lastSeq: 1, lastDigest: null }, rows: 0 };

test('behind a body parser: its bytes are taken, and without them it is 500 that says what to do', async () => {
  const bytesOf = async (request) => Buffer.concat(await request.toArray());
  const parsers = {
    none: [async () => undefined, 201],
    'express.raw()': [async (request) => (request.body = await bytesOf(request)), 201],
    'express.raw() with gzip': [
      async (request) => (request.body = gunzipSync(await bytesOf(request))),
      201,
      true,
    ],
    'a rawBody beside': [
      async (request) => ((request.rawBody = await bytesOf(request)), (request.body = { some: 'object' })),
      201,
    ],
    'a rawBody as it came': [async (request) => (request.rawBody = await bytesOf(request)), 201, true],
    'express.json()': [async (request) => (request.body = String(await bytesOf(request))), 500],
  };
  const frame = frameOf({ n: [new arrow.Int32(), [1]] });
  for (const [name, [middleware, status, gzip = false]] of Object.entries(parsers)) {
    const { base, writes, errors, server } = await behind(middleware);
    const answer = await read(await fetch(frameRequest(STREAM, 1, 't', frame, { base, gzip })));
    assert.deepEqual(
      [answer.status, writes.length],
      [status, status === 201 ? 1 : 0],
      `${name} ${answer.detail}`,
    );
    if (status === 500) assert.match(errors.join(), /before body parsers/, name);
    else assert.deepEqual(errors, [], name);
    server.closeAllConnections();
    server.close();
  }
});

test('a request that something else has read', async () => {
  const errors = [];
  const onError = (error) => errors.push(error.message);
  const handler = createFrameHandler({ engine, authorize, tables: { t: {} }, onError });
  const request = frameRequest(STREAM, 1, 't', Buffer.from('x'));
  await request.text();
  assert.equal((await handler(request)).status, 500);
  assert.match(errors.join(), /before body parsers/);
});

test("a body that breaks off is worth another try, gzip or not, and is not the operator's business", async () => {
  for (const coding of ['identity', 'gzip']) {
    const errors = [];
    const onError = (error) => errors.push(error);
    const handler = createFrameHandler({ engine, authorize, tables: { t: {} }, onError });
    const whole = coding === 'gzip' ? gzipSync(Buffer.alloc(1000, 'x')) : Buffer.alloc(1000, 'x');
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(whole.subarray(0, -5)),
      pull: (controller) => controller.error(new Error('the line was cut')),
    });
    const { url, headers } = frameRequest(STREAM, 1, 't', Buffer.from('x'));
    headers.set('Content-Encoding', coding);
    const request = new Request(url, { method: 'PUT', headers, body, duplex: 'half' });
    const response = await handler(request);
    const { status, code } = await read(response);
    assert.deepEqual([status, code, response.headers.get('Retry-After')], [503, 'UNAVAILABLE', '1'], coding);
    assert.deepEqual(errors, [], coding);
  }
});

test('a body has the time that its bytes take at 16 KiB a second, and some more; a slower one is 408', async () => {
  const handler = createFrameHandler({
    engine,
    authorize,
    tables: { t: {} },
    limits: { bodyTimeoutMs: 200 },
    onError: (error) => assert.fail(error),
  });
  const send = async (pieceBytes, pieces) => {
    let sent = 0;
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        if (sent++ === pieces) controller.close();
        else controller.enqueue(new Uint8Array(pieceBytes));
      },
    });
    const { url, headers } = frameRequest(STREAM, 1, 't', Buffer.from('x'));
    const start = performance.now();
    const answer = await read(
      await handler(new Request(url, { method: 'PUT', headers, body, duplex: 'half' })),
    );
    return [answer.status, answer.code, Math.round(performance.now() - start)];
  };
  // 80 KiB a second, for longer than the limit alone.
  const [status, code, ms] = await send(4096, 12);
  assert.deepEqual([status, code, ms > 500], [400, 'DIGEST_MISMATCH', true], `${ms} ms`);
  const [slow, why, after] = await send(10, 1000);
  assert.deepEqual([slow, why, after < 1000], [408, 'BODY_TIMEOUT', true], `${after} ms`);
});

test('gzip that goes on for ever and inflates to nothing ends at the limit', async () => {
  const options = { engine, authorize, tables: { t: {} }, limits: { maxBodyBytes: 1 << 20 } };
  const handler = createFrameHandler(options);
  // A header, then empty stored blocks.
  const head = gzipSync('').subarray(0, 10);
  const blocks = Buffer.alloc(65_535, Buffer.from([0, 0, 0, 0xff, 0xff]));
  let sent = 0;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(head),
    pull(controller) {
      sent += blocks.length;
      if (sent > 64 << 20) controller.close();
      else controller.enqueue(blocks);
    },
  });
  const { url, headers } = frameRequest(STREAM, 1, 't', Buffer.from('x'));
  headers.set('Content-Encoding', 'gzip');
  const answer = await read(
    await handler(new Request(url, { method: 'PUT', headers, body, duplex: 'half' })),
  );
  assert.deepEqual([answer.code, sent < 8 << 20], ['TOO_LARGE', true], `${sent} bytes were taken`);
});
