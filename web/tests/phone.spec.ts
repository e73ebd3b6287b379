/** The app on a narrow screen with a finger. */
import { expect, halt, test } from './fixtures';

test('chats are in a drawer, and a message is sent by touch', async ({ page, app, server }) => {
  await page.goto(server.url);
  await expect(page.getByRole('navigation')).toHaveCount(0);
  await page.getByLabel(app.t('compose.label'), { exact: true }).fill('A message from a phone');
  await page.getByRole('button', { name: app.t('compose.send') }).tap();
  await halt(page.getByRole('button', { name: app.t('compose.stop') }));
  await app.answered();
  await page.getByRole('button', { name: app.t('nav.open') }).tap();
  const nav = page.getByRole('navigation', { name: app.t('nav.sidebar') });
  await expect(nav).toBeVisible();
  // A chat that another test left without a title is called the same.
  await nav.getByRole('link', { name: app.t('nav.new_chat') }).first().tap();
  await expect(nav).toHaveCount(0);
  await expect(page).toHaveURL(/\/$/);
  await page.getByRole('button', { name: app.t('nav.open') }).tap();
  await nav.getByRole('link', { name: /A message from a phone/ }).first().tap();
  await expect(page.locator('article').first()).toContainText('A message from a phone');
  const buttons = page.locator('article').last().getByRole('button', { name: app.t('message.copy'), exact: true });
  await expect(buttons).toBeVisible();
});

test('targets are large enough for a finger', async ({ page, server }) => {
  await page.goto(server.url);
  await page.waitForLoadState('networkidle');
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('button, a')]
      .filter((element) => element.checkVisibility() && !element.classList.contains('sr-only'))
      .map((element) => ({ box: element.getBoundingClientRect(), html: element.outerHTML.slice(0, 100) }))
      .filter(({ box }) => box.width > 1 && (box.width < 24 || box.height < 24))
      .map(({ html }) => html)
  );
  expect(small).toEqual([]);
});
