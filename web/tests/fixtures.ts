/**
 * What each test has: a server, a page that speaks the project's language, and a watch that fails the
 * test when anything breaks the page's policy, throws, or asks another origin for something.
 */
import { test as base, expect, type Locator, type Page } from '@playwright/test';
import { en, type Key, type Text } from '../src/lib/i18n/en';
import { id } from '../src/lib/i18n/id';
import { Server } from './server';

export type Options = { language: 'en' | 'id' };
type Values = Record<string, string | number>;

export type App = {
  t: (key: Key, values?: Values) => string;
  /** Calls the API as the page would. */
  call: <R>(method: string, path: string, body?: unknown) => Promise<R>;
  send: (text: string) => Promise<void>;
  answered: () => Promise<void>;
  /** Makes a chat whose answers are short, and opens it. */
  shortChat: (tokens?: number) => Promise<string>;
  sidebar: () => Promise<void>;
  /** What was against the rules so far. */
  wrong: string[];
};

type Fixtures = { app: App; server: Server };
type WorkerFixtures = { single: Server; accounts: Server };

export function translate(language: 'en' | 'id') {
  const table: Record<Key, Text> = language === 'id' ? id : en;
  return (key: Key, values: Values = {}): string => {
    const text = table[key];
    const form = typeof text === 'string' ? text : values['n'] === 1 ? (text.one ?? text.other) : text.other;
    return form.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
  };
}

export function watch(page: Page, origin: string): string[] {
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('console', (message) => {
    const text = message.text();
    if (message.type() !== 'error') return;
    // The browser logs each answer that is an error; what the app makes of it is what tests ask.
    if (text.startsWith('Failed to load resource')) return;
    wrong.push(`console: ${text}`);
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !/^(?:data|blob|about):/.test(url)) wrong.push(`request: ${url}`);
  });
  page.on('dialog', (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return wrong;
}

export const test = base.extend<Options & Fixtures, WorkerFixtures>({
  language: ['en', { option: true }],
  single: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const server = await Server.start();
      await use(server);
      await server.stop();
    },
    { scope: 'worker' }
  ],
  accounts: [
    async ({}, use) => {
      const server = await Server.start('--accounts');
      await use(server);
      await server.stop();
    },
    { scope: 'worker' }
  ],
  server: async ({ single }, use) => use(single),
  app: async ({ page, server, language }, use) => {
    const t = translate(language);
    const wrong = watch(page, server.url);
    const app: App = {
      t,
      wrong,
      call: async (method, path, body) => {
        const response = await page.request.fetch(`${server.url}/api${path}`, {
          method,
          headers: { 'x-terang': '1', 'content-type': 'application/json' },
          ...(body === undefined ? {} : { data: JSON.stringify(body) })
        });
        expect(response.ok(), `${method} ${path}: ${response.status()} ${await response.text()}`).toBe(true);
        return response.json();
      },
      send: async (text) => {
        await page.getByLabel(t('compose.label'), { exact: true }).fill(text);
        await page.getByRole('button', { name: t('compose.send') }).click();
        await expect(page.getByText(text, { exact: true }).last()).toBeVisible();
      },
      answered: async () => {
        // The machine may have other things to do.
        await expect(page.getByRole('button', { name: t('message.regenerate') }).last()).toBeEnabled({ timeout: 60_000 });
        await expect(page.getByRole('button', { name: t('compose.stop') })).toHaveCount(0);
      },
      shortChat: async (tokens = 24) => {
        const chat = await app.call<{ id: string }>('POST', '/chats', { settings: { max_tokens: tokens, temperature: 0 } });
        await page.goto(`${server.url}/c/${chat.id}`);
        await expect(page.getByLabel(t('compose.label'), { exact: true })).toBeVisible();
        return chat.id;
      },
      sidebar: async () => {
        const open = page.getByRole('button', { name: t('nav.open') });
        if (await open.isVisible()) await open.click();
      }
    };
    await use(app);
    expect(wrong, 'nothing is against the rules').toEqual([]);
  }
});

export { expect };

/**
 * Stops the answer, if it has not ended by itself: a small model is sometimes done at once. A button
 * that is there and cannot be pressed is a fault.
 */
export async function halt(stop: Locator): Promise<void> {
  try {
    await stop.click({ timeout: 3_000 });
  } catch (error) {
    if ((await stop.count()) > 0) throw error;
  }
}
