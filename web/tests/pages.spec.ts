/** Every page: without a violation that axe-core knows, in both themes, and no wider than a phone. */
import type { Page } from '@playwright/test';
import { accessible } from './accessible';
import { expect, test } from './fixtures';

const PAGES = ['/', '/prompts', '/assistants', '/knowledge', '/knowledge/none', '/settings', '/settings/security', '/settings/tools', '/settings/keys', '/settings/data', '/admin', '/admin/models', '/admin/tools', '/admin/usage', '/admin/embedding', '/admin/audit', '/admin/health', '/nowhere/at/all', '/c/00000000-0000-7000-8000-000000000000', '/share/nothing'];
async function noWiderThanTheScreen(page: Page, name: string): Promise<void> {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(over, `${name} is wider than the screen`).toBeLessThanOrEqual(0);
}

for (const theme of ['light', 'dark'] as const) {
  test(`each page is accessible in its ${theme} theme`, async ({ page, server }) => {
    test.slow();
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    for (const path of PAGES) {
      await page.goto(`${server.url}${path}`);
      await expect(page.locator('h1').first()).toBeAttached();
      await page.waitForLoadState('networkidle');
      await accessible(page, `${path} (${theme})`);
      await noWiderThanTheScreen(page, path);
      await expect(page).toHaveTitle(/Terang/);
    }
  });
}

test('a conversation and what opens over it is accessible', async ({ page, app }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await app.shortChat(60);
  await app.send('Give me a list of three fruits.');
  await app.answered();
  await accessible(page, 'conversation');
  await noWiderThanTheScreen(page, 'conversation');
  await page.getByRole('button', { name: app.t('chat.settings') }).click();
  await expect(page.getByRole('dialog')).toBeVisible();
  await accessible(page, 'settings of a chat');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: app.t('chat.menu_here') }).click();
  await expect(page.getByRole('menu')).toBeVisible();
  // A menu stands at the end of the page, outside of its landmarks, while it is open.
  await accessible(page, 'menu', ['region']);
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+k');
  await expect(page.getByRole('combobox')).toBeVisible();
  await accessible(page, 'palette');
  await page.keyboard.press('Escape');
  await app.sidebar();
  await accessible(page, 'sidebar');
});

test('a screen reader is told of an answer twice, not a hundred times', async ({ page, app }) => {
  await app.shortChat(60);
  await page.evaluate(() => {
    const told: string[] = [];
    (window as unknown as { told: string[] }).told = told;
    for (const region of document.querySelectorAll('[aria-live=polite]')) {
      new MutationObserver(() => told.push(region.textContent ?? '')).observe(region, { childList: true, characterData: true, subtree: true });
    }
  });
  await app.send('Name three fruits.');
  await app.answered();
  await page.waitForTimeout(300);
  const told = await page.evaluate(() => (window as unknown as { told: string[] }).told.filter((text) => text !== ''));
  expect(told[0]).toBe(app.t('message.writing'));
  expect(told.length).toBeLessThanOrEqual(4);
  expect(told.at(-1)).toContain(app.t('message.written', { text: '' }).trim());
});

test('the page has the language that was chosen', async ({ page, app, server, language }) => {
  await page.goto(`${server.url}/settings`);
  await expect(page.locator('html')).toHaveAttribute('lang', language);
  await expect(page.getByRole('heading', { name: app.t('prefs.title') })).toBeVisible();
});
