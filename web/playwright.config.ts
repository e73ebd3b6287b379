/** Browser tests: the real server with the real model, in two languages and two sizes. */
import { defineConfig, type PlaywrightTestConfig } from '@playwright/test';
import type { Options } from './tests/fixtures';

const launchOptions = {
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  // Containers in which tests run have no user of their own.
  args: ['--no-sandbox']
};
const desktop = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

const config: PlaywrightTestConfig<Options> = {
  testDir: 'tests',
  // One server and one model: more at once would only wait for each other.
  workers: 1,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  forbidOnly: true,
  // A machine that is shared may be slow for a moment; what needed a second try is reported as flaky.
  retries: process.env['CI'] ? 1 : 0,
  use: { launchOptions, serviceWorkers: 'block', permissions: ['clipboard-read', 'clipboard-write'], trace: 'off' },
  projects: [
    { name: 'desktop-en', use: { ...desktop, locale: 'en-GB', language: 'en' }, testIgnore: /phone\.spec\.ts/ },
    // Each part in both languages and, where a phone shows it otherwise, in both sizes.
    { name: 'desktop-id', use: { ...desktop, locale: 'id-ID', language: 'id' }, testMatch: /(?:chat|pages|accounts|models|oidc|passkeys|embed|pictures)\.spec\.ts/ },
    { name: 'phone-en', use: { ...phone, locale: 'en-GB', language: 'en' }, testMatch: /(?:pages|phone)\.spec\.ts/ },
    { name: 'phone-id', use: { ...phone, locale: 'id-ID', language: 'id' }, testMatch: /(?:pages|phone|files|pictures|keep|knowledge|tools)\.spec\.ts/ }
  ]
};

export default defineConfig<Options>(config);
