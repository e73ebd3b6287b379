/** Passkeys, with an authenticator that the browser itself plays. */
import { accessible } from './accessible';
import { expect, test, translate } from './fixtures';
import { Server } from './server';

test('a passkey opens the account that it was made for, until it is taken off', async ({ browser, language, locale }) => {
  const server = await Server.start('--accounts');
  // Passkeys belong to a name.
  const url = server.url.replace('127.0.0.1', 'localhost');
  try {
    const t = translate(language);
    const context = await browser.newContext({ locale: locale ?? 'en-GB', serviceWorkers: 'block' });
    const page = await context.newPage();
    const device = await context.newCDPSession(page);
    await device.send('WebAuthn.enable');
    const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true } as const;
    const { authenticatorId } = await device.send('WebAuthn.addVirtualAuthenticator', { options: { ...options, automaticPresenceSimulation: true } });
    await page.goto(url);
    await page.getByLabel(t('app.name_label'), { exact: true }).fill('Siti Rahma');
    await page.getByLabel(t('auth.email')).fill('siti@example.org');
    await page.getByLabel(t('auth.password'), { exact: true }).fill('hujan turun di sawah');
    await page.getByRole('button', { name: t('auth.setup_do') }).click();
    const greeting = page.getByText(t('chat.greeting_name', { name: 'Siti' }));
    await expect(greeting).toBeVisible();

    await page.goto(`${url}/settings/security`);
    await page.getByLabel(t('prefs.passkey_name')).fill('My telephone');
    await page.getByRole('button', { name: t('prefs.passkey_add') }).click();
    await expect(page.getByText('My telephone')).toBeVisible();
    await expect(page.getByText(t('prefs.passkey_unused'))).toBeVisible();
    await accessible(page, 'security with passkeys');

    const signOut = async () => {
      await page.getByRole('button', { name: t('nav.account') }).click();
      await page.getByRole('menuitem', { name: t('nav.sign_out') }).click();
      await expect(page).toHaveURL(/\/login/);
    };
    const byPasskey = page.getByRole('button', { name: t('auth.passkey') });
    await signOut();
    await accessible(page, 'login with a passkey');
    await byPasskey.click();
    await expect(greeting).toBeVisible();

    // An authenticator that does not make sure who it is does not open anything.
    await signOut();
    await device.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
    await byPasskey.click();
    await expect(byPasskey).toBeVisible();
    await expect(greeting).toHaveCount(0);
    await device.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true });

    // A copy of a passkey is noticed: it counts less than the other.
    const { credentials } = await device.send('WebAuthn.getCredentials', { authenticatorId });
    const [kept] = credentials;
    if (!kept) throw new Error('the authenticator has no passkey');
    await byPasskey.click();
    await expect(greeting).toBeVisible();
    await signOut();
    await device.send('WebAuthn.clearCredentials', { authenticatorId });
    await device.send('WebAuthn.addCredential', { authenticatorId, credential: { ...kept, signCount: 1 } });
    await byPasskey.click();
    await expect(page.getByRole('alert').or(page.getByRole('status')).first()).toBeVisible();
    await expect(greeting).toHaveCount(0);

    // Taken off, it opens nothing.
    await device.send('WebAuthn.clearCredentials', { authenticatorId });
    await device.send('WebAuthn.addCredential', { authenticatorId, credential: { ...kept, signCount: 1000 } });
    await byPasskey.click();
    await expect(greeting).toBeVisible();
    await page.goto(`${url}/settings/security`);
    await page.getByRole('button', { name: t('prefs.identity_remove', { name: 'My telephone' }) }).click();
    await expect(page.getByText('My telephone')).toHaveCount(0);
    await signOut();
    await byPasskey.click();
    await expect(page.getByRole('alert').or(page.getByRole('status')).first()).toBeVisible();
    await expect(greeting).toHaveCount(0);
    await context.close();
  } finally {
    await server.stop();
  }
});
