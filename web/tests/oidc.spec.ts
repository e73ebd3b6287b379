/** Signing in with an identity provider of others' making, in the browser. */
import { createServer, type Server as HttpServer } from 'node:http';
import Provider from 'oidc-provider';
import type { Page } from '@playwright/test';
import { accessible } from './accessible';
import { expect, test, translate } from './fixtures';
import { Server } from './server';

/** Its pages ask for a name, believe any password, and ask once whether this server may know who it is. */
async function startProvider(): Promise<{ issuer: string; http: HttpServer; welcome: (url: string) => void }> {
  const http = createServer();
  await new Promise<void>((ready) => http.listen(0, '127.0.0.1', ready));
  const address = http.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const issuer = `http://127.0.0.1:${address.port}`;
  const welcome = (url: string) => {
    const provider = new Provider(issuer, {
      clients: [{ client_id: 'terang', client_secret: 'a secret of the test', redirect_uris: [`${url}/api/oidc/callback`] }],
      claims: { email: ['email', 'email_verified'], profile: ['name'] },
      pkce: { required: () => true },
      findAccount: (_, id) => ({
        accountId: id,
        claims: () => ({ sub: id, name: `Mbak ${id}`, email: `${id}@example.org`, email_verified: true })
      })
    });
    http.on('request', provider.callback());
  };
  return { issuer, http, welcome };
}

async function signInThere(page: Page, name: string) {
  const login = page.locator('input[name=login]');
  // Who is signed in there already is not asked again.
  await expect(login.or(page.getByRole('navigation').first())).toBeVisible();
  if (!(await login.isVisible())) return;
  await login.fill(name);
  await page.locator('input[name=password]').fill('anything');
  await page.locator('button[type=submit]').click();
  await page.locator('button[type=submit]', { hasText: /continue/i }).click();
}

test('people sign in with an identity provider, and add it to their account', async ({ browser, language, locale }) => {
  const provider = await startProvider();
  const server = await Server.start(
    '--accounts',
    ...['--set', `oidc_issuer=${provider.issuer}`, '--set', 'oidc_client_id=terang', '--set', 'oidc_client_secret=a secret of the test'],
    ...['--set', 'oidc_name=Kantor', '--set', 'oidc_domains=example.org', '--set', 'public_url={url}']
  );
  provider.welcome(server.url);
  try {
    const t = translate(language);
    const options = { locale: locale ?? 'en-GB', serviceWorkers: 'block' } as const;
    const owner = await browser.newContext(options);
    const page = await owner.newPage();
    await page.goto(server.url);
    await page.getByLabel(t('app.name_label'), { exact: true }).fill('Siti Rahma');
    await page.getByLabel(t('auth.email')).fill('siti@example.com');
    await page.getByLabel(t('auth.password'), { exact: true }).fill('hujan turun di sawah');
    await page.getByRole('button', { name: t('auth.setup_do') }).click();
    await expect(page.getByText(t('chat.greeting_name', { name: 'Siti' }))).toBeVisible();

    // Somebody new comes by the provider, in a browser of their own.
    const other = await browser.newContext(options);
    const guest = await other.newPage();
    await guest.goto(`${server.url}/login?problem=oidc_refused`);
    await expect(guest.getByRole('alert')).toHaveText(t('auth.oidc_refused'));
    await accessible(guest, 'login with a provider');
    await guest.getByRole('link', { name: t('auth.with', { name: 'Kantor' }) }).click();
    await signInThere(guest, 'budi');
    await expect(guest.getByText(t('chat.greeting_name', { name: 'Mbak' }))).toBeVisible();
    await guest.goto(`${server.url}/settings/security`);
    await expect(guest.getByText('budi@example.org')).toBeVisible();
    // It is the only way in.
    await guest.getByRole('button', { name: t('prefs.identity_remove', { name: 'budi@example.org' }) }).click();
    await expect(guest.getByRole('status').or(guest.getByRole('alert')).first()).toBeVisible();
    await guest.reload();
    await expect(guest.getByText('budi@example.org')).toBeVisible();

    // The owner adds an identity and takes it off again.
    await page.goto(`${server.url}/settings/security`);
    await page.getByRole('link', { name: t('prefs.identity_add', { name: 'Kantor' }) }).click();
    await signInThere(page, 'siti');
    await expect(page).toHaveURL(/settings\/security$/);
    await expect(page.getByText('siti@example.org')).toBeVisible();
    await accessible(page, 'security with identities');
    await page.getByRole('button', { name: t('prefs.identity_remove', { name: 'siti@example.org' }) }).click();
    await expect(page.getByText('siti@example.org')).toHaveCount(0);
    await owner.close();
    await other.close();
  } finally {
    await server.stop();
    provider.http.closeAllConnections();
    provider.http.close();
  }
});
