// A handler behind node's HTTP server on a loopback port, a free one unless it is said.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { toNodeListener } from '../../dist/server/index.js';

export async function listen(handler, port = 0) {
  const server = createServer(toNodeListener(handler));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${server.address().port}/sync`;
  const close = async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  return { base, server, close };
}
