// A handler behind node's HTTP server on a free loopback port.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { toNodeListener } from '../../dist/server/index.js';

export async function listen(handler) {
  const server = createServer(toNodeListener(handler));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${server.address().port}/sync`;
  const close = async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  return { base, server, close };
}
