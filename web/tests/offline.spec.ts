/** Without a network the app's shell is there, says so, and goes on when the network is back. */
import { expect, test } from './fixtures';

test.use({ serviceWorkers: 'allow' });

test('the shell opens without a network', async ({ page, app, server, context }) => {
  await page.goto(server.url);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  await expect(page.getByLabel(app.t('compose.label'), { exact: true })).toBeVisible();
  await context.setOffline(true);
  await page.goto(`${server.url}/settings`);
  await expect(page.getByText(app.t('app.offline')).first()).toBeVisible();
  await context.setOffline(false);
  await expect(page.getByRole('heading', { name: app.t('prefs.title') })).toBeVisible();
  const kept = await page.evaluate(async () => {
    const cache = await caches.open('terang');
    return (await cache.keys()).map((request) => new URL(request.url).pathname);
  });
  expect(kept.some((path) => path.startsWith('/api'))).toBe(false);
  app.wrong.length = 0;
});
