// `npm start`: set-up, build, then the demo on this machine. PORT names the port.
import { build } from './build.mjs';
import { serve } from './serve.mjs';
import { setUp } from './setup.mjs';

try {
  await setUp();
  await build({ sizes: false });
  const { origin } = await serve({ port: Number(process.env.PORT ?? 8080) });
  console.log(`framelock's demo: ${origin}/`);
} catch (error) {
  console.error(`start: ${error.message}`);
  process.exit(1);
}
