// Never run: framelock/server beside the types of node.
import { createServer } from 'node:http';
import { clickhouse, createFrameHandler, toNodeListener } from 'framelock/server';

const handler = createFrameHandler({
  engine: clickhouse({ url: 'http://localhost:8123/' }),
  authorize: (request, { stream }) =>
    request.headers.has('Authorization') ? { tenant: stream } : 'FORBIDDEN',
  tables: { ticks: {} },
});
createServer(toNodeListener(handler)).listen(8787);
