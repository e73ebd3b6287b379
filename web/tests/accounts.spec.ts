/** People: the first account, an invitation, and what one of them may not see of another. */
import { accessible } from './accessible';
import { expect, halt, test, translate, watch } from './fixtures';
import { Server } from './server';

test('an owner sets the server up, invites a member, and each has chats of their own', async ({ browser, language, locale }) => {
  const server = await Server.start('--accounts');
  try {
    const t = translate(language);
    const context = await browser.newContext({ locale: locale ?? 'en-GB', serviceWorkers: 'block' });
    const page = await context.newPage();
    const wrong = watch(page, server.url);
    await page.goto(server.url);
    await expect(page).toHaveURL(/\/setup$/);
    await accessible(page, 'setup');
    await page.getByLabel(t('app.name_label'), { exact: true }).fill('Siti Rahma');
    await page.getByLabel(t('auth.email')).fill('siti@example.org');
    await page.getByLabel(t('auth.password'), { exact: true }).fill('hujan turun di sawah');
    await page.getByRole('button', { name: t('auth.setup_do') }).click();
    await expect(page.getByText(t('chat.greeting_name', { name: 'Siti' }))).toBeVisible();

    await page.getByLabel(t('compose.label'), { exact: true }).fill('A private thought');
    await page.getByRole('button', { name: t('compose.send') }).click();
    await halt(page.getByRole('button', { name: t('compose.stop') }));
    await expect(page.getByRole('button', { name: t('message.regenerate') })).toBeEnabled();
    const chat = page.url();

    await page.goto(`${server.url}/admin`);
    await page.getByRole('button', { name: t('admin.invite_do') }).click();
    const link = (await page.getByRole('status').locator('code').innerText()).trim();
    await accessible(page, 'admin');

    const other = await browser.newContext({ locale: locale ?? 'en-GB', serviceWorkers: 'block' });
    const guest = await other.newPage();
    const guestWrong = watch(guest, server.url);
    await guest.goto(chat);
    await expect(guest).toHaveURL(/\/login/);
    await accessible(guest, 'login');
    await guest.goto(link);
    await accessible(guest, 'invitation');
    await guest.getByLabel(t('app.name_label'), { exact: true }).fill('Budi');
    await guest.getByLabel(t('auth.email')).fill('budi@example.org');
    await guest.getByLabel(t('auth.password'), { exact: true }).fill('kereta api malam hari');
    await guest.getByRole('button', { name: t('auth.join') }).click();
    await expect(guest.getByText(t('chat.greeting_name', { name: 'Budi' }))).toBeVisible();
    await guest.goto(chat);
    await expect(guest.getByText(t('chat.gone'))).toBeVisible();
    await guest.goto(`${server.url}/admin`);
    await expect(guest.getByText(t('admin.forbidden'))).toBeVisible();
    await guest.goto(link);
    await expect(guest.getByText(t('auth.invite_bad'))).toBeVisible();

    await page.reload();
    await expect(page.getByText('budi@example.org')).toBeVisible();
    await page.goto(`${server.url}/settings/security`);
    await expect(page.getByText(t('prefs.session_current'))).toBeVisible();
    await accessible(page, 'security');

    await page.getByRole('button', { name: t('nav.account') }).click();
    await page.getByRole('menuitem', { name: t('nav.sign_out') }).click();
    await expect(page).toHaveURL(/\/login/);
    await page.getByLabel(t('auth.email')).fill('siti@example.org');
    await page.getByLabel(t('auth.password'), { exact: true }).fill('wrong wrong wrong');
    await page.getByRole('button', { name: t('auth.login') }).click();
    await expect(page.getByRole('alert')).toBeVisible();
    await page.getByLabel(t('auth.password'), { exact: true }).fill('hujan turun di sawah');
    await page.getByRole('button', { name: t('auth.login') }).click();
    await expect(page.getByRole('navigation').getByRole('link', { name: /private thought/ })).toBeVisible();
    expect([...wrong, ...guestWrong]).toEqual([]);
    await context.close();
    await other.close();
  } finally {
    await server.stop();
  }
});
