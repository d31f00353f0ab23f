import { defineConfig } from '@playwright/test';

// CHROMIUM names a browser that is installed already; without it, Playwright's own is used. BASE_URL names a server that
// runs already; without it one is started for the todo app, which lies beside this folder.
const { BASE_URL, CHROMIUM } = process.env;

export default defineConfig({
  testDir: 'tests',
  // Every test has a browser context, and so an OPFS, of its own: they may run at the same time.
  fullyParallel: true,
  reporter: 'line',
  use: {
    baseURL: BASE_URL ?? 'http://127.0.0.1:8081',
    launchOptions: CHROMIUM ? { executablePath: CHROMIUM, args: ['--no-sandbox'] } : {},
  },
  webServer: BASE_URL
    ? undefined
    : { command: 'npx http-server -c-1 -p 8081 ../todo', url: 'http://127.0.0.1:8081' },
});
