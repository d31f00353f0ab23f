import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

// CHROMIUM names a browser that is installed already; without it, Playwright's own is used.
const launchOptions = process.env.CHROMIUM
  ? { executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] }
  : {};

export default defineConfig({
  test: {
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions }),
      instances: [{ browser: 'chromium' }],
    },
  },
});
