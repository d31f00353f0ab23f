// `npm start`: set-up, build, then the demo on this machine. Where there is no display, or with `-- --headless`, it
// also runs the main job in a headless browser (headless.mjs). PORT names the port; `--screenshot=PATH` says where
// the headless run's picture goes (the README's is docs/demo.png).
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { setUp } from './setup.mjs';

const DEFAULT_PORT = 8080;

function readArguments() {
  const { values } = parseArgs({
    options: { headless: { type: 'boolean', default: false }, screenshot: { type: 'string' } },
  });
  const { DISPLAY, WAYLAND_DISPLAY } = process.env;
  const noDisplay = process.platform === 'linux' && !DISPLAY && !WAYLAND_DISPLAY;
  return {
    headless: values.headless || noDisplay,
    screenshot: values.screenshot && resolve(values.screenshot),
    // Asked for, or nobody there who would look at the served page and end it.
    exitAfterwards: values.headless || (noDisplay && (Boolean(process.env.CI) || !process.stdout.isTTY)),
  };
}

/** Serves at PORT; at 8080 when that is not set, or at any free port when 8080 is taken. */
async function serveDemo(serve) {
  if (process.env.PORT) return serve({ port: Number(process.env.PORT) });
  return serve({ port: DEFAULT_PORT }).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error;
    return serve({ port: 0 });
  });
}

async function main() {
  const { headless, screenshot, exitAfterwards } = readArguments();
  await setUp();
  // Only now: what these import is installed by set-up.
  const { build } = await import('./build.mjs');
  const { serve } = await import('./serve.mjs');
  await build({ sizes: false, server: false });
  const { origin } = await serveDemo(serve);
  console.log(`framelock's demo: ${origin}/`);
  if (!headless) return;
  const { runHeadless } = await import('./headless.mjs');
  const well = await runHeadless(origin, { screenshot });
  console.log(well ? 'the main job: ok' : 'the main job: FAILED');
  if (exitAfterwards) process.exit(well ? 0 : 1);
  console.log(`still serving ${origin}/ (Ctrl-C ends it)`);
}

main().catch((error) => {
  console.error(`start: ${error.message}`);
  process.exit(1);
});
