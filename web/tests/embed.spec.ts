/** The chat inside of another application: the example's page on a port of its own, in a real browser. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type Server as Http } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { accessible } from './accessible';
import { expect, test, translate } from './fixtures';
import { png } from './picture';
import { Server } from './server';

const EXAMPLE = resolve(import.meta.dirname, '../../examples/embed/server.py');
const PASSWORD = 'hujan turun di sawah';
type App = { id: string; url: string; secret: string };
type Admin = { call: <R>(method: string, path: string, data?: unknown) => Promise<R> };

let server: Server;
test.beforeAll(async () => {
  server = await Server.start('--accounts');
  const body = JSON.stringify({ name: 'Siti', email: 'siti@example.org', password: PASSWORD });
  const made = await fetch(`${server.url}/api/setup`, { method: 'POST', headers: { 'x-terang': '1', 'content-type': 'application/json' }, body });
  expect(made.ok).toBe(true);
});
test.afterAll(async () => server.stop());

async function free(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address() as AddressInfo;
  await new Promise((done) => probe.close(done));
  return port;
}

/** The example as it is in the repository, started as its page says. */
async function shop(app: App, port: number): Promise<ChildProcess> {
  const child = spawn('python3', [EXAMPLE, '--terang', server.url, '--app', app.id, '--port', String(port)], {
    env: { ...process.env, TERANG_EMBED_SECRET: app.secret },
    stdio: ['ignore', 'pipe', 'inherit']
  });
  await new Promise((done) => child.stdout?.once('data', done));
  return child;
}

test('a shop shows the chat to its people, in its colours, and each has an account of the shop', async ({ page, browser, language, context }) => {
  const t = translate(language);
  const request = await (await browser.newContext()).request;
  const admin: Admin = {
    call: async (method, path, data) => {
      const response = await request.fetch(`${server.url}/api${path}`, { method, headers: { 'x-terang': '1' }, data });
      expect(response.ok(), `${path}: ${await response.text()}`).toBe(true);
      return response.json();
    }
  };
  await admin.call('POST', '/login', { email: 'siti@example.org', password: PASSWORD });
  const poet = await admin.call<{ id: string }>('POST', '/assistants', { name: 'Penyair', instructions: 'Speak in verse.' });
  const port = await free();
  const origin = `http://127.0.0.1:${port}`;
  const app = await admin.call<App>('POST', '/admin/embeds', { name: 'Toko Sawah', origins: [origin], algorithm: 'HS256', assistants: [poet.id] });
  const child = await shop(app, port);
  const problems: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  const elsewhere: string[] = [];
  page.on('request', (asked) => {
    if (![origin, server.url].some((known) => asked.url().startsWith(known))) elsewhere.push(asked.url());
  });
  try {
    await page.goto(`${origin}/?as=ani`);
    await page.locator('terang-chat').evaluate((element, lang) => element.setAttribute('lang', lang), language);
    const frame = page.frameLocator('terang-chat iframe');
    const field = frame.getByLabel(t('compose.label'), { exact: true });
    await expect(field).toBeVisible();
    await expect(frame.getByText(t('chat.greeting_name', { name: 'Ani' }))).toBeVisible();
    // The shop's colours.
    expect(await frame.locator('html').evaluate((root) => root.style.getPropertyValue('--accent'))).toBe('#1b6b3a');
    await page.locator('terang-chat').evaluate((element) => {
      (element as HTMLElement).style.setProperty('--terang-accent', 'url(https://attacker.example/x)');
      (element as HTMLElement & { refreshTheme: () => void }).refreshTheme();
    });
    await expect.poll(() => frame.locator('html').evaluate((root) => root.style.getPropertyValue('--accent'))).toBe('');
    await page.locator('terang-chat').evaluate((element) => element.setAttribute('theme', 'dark'));
    await expect(frame.locator('html')).toHaveClass(/dark/);

    // The shop's assistant, by its name.
    await page.locator('terang-chat').evaluate((element) => element.setAttribute('assistant', 'Penyair'));
    await expect(frame.locator('header').getByText('Penyair')).toBeVisible();

    await field.fill('Tell me of rice, in one line.');
    await frame.getByRole('button', { name: t('compose.send') }).click();
    const stop = frame.getByRole('button', { name: t('compose.stop') });
    await stop.click({ timeout: 4_000 }).catch(async (error: unknown) => {
      if ((await stop.count()) > 0) throw error;
    });
    await expect(frame.getByRole('button', { name: t('message.regenerate') })).toBeEnabled({ timeout: 60_000 });
    await frame.getByRole('button', { name: t('nav.new_chat') }).click();
    await expect(frame.locator('article')).toHaveCount(0);
    await frame.getByRole('button', { name: t('nav.chats'), exact: true }).click();
    await frame.getByRole('menuitemcheckbox', { name: /Tell me of rice/ }).click();
    await expect(frame.locator('article').first()).toContainText('Tell me of rice');

    // Nothing of it stays in the browser: no cookie, and no storage that another could read.
    expect(await context.cookies()).toEqual([]);
    const inner = page.frames().find((other) => other.url().startsWith(server.url));
    expect(await inner?.evaluate(() => JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage)]))).not.toMatch(/rice|te-/);

    // Somebody else of the shop has none of it; who comes back has.
    await page.goto(`${origin}/?as=budi`);
    await page.locator('terang-chat').evaluate((element, lang) => element.setAttribute('lang', lang), language);
    await expect(frame.getByText(t('chat.greeting_name', { name: 'Budi' }))).toBeVisible();
    await frame.getByRole('button', { name: t('nav.chats'), exact: true }).click();
    await expect(frame.getByText(t('nav.no_chats'))).toBeVisible();
    await page.goto(`${origin}/?as=ani`);
    await page.locator('terang-chat').evaluate((element, lang) => element.setAttribute('lang', lang), language);
    await frame.getByRole('button', { name: t('nav.chats'), exact: true }).click();
    await expect(frame.getByRole('menuitemcheckbox', { name: /Tell me of rice/ })).toBeVisible();
    const { users } = await admin.call<{ users: { name: string; role: string; email: string | null }[] }>('GET', '/admin/users');
    expect(users.map((user) => [user.name, user.role, user.email])).toEqual([
      ['Siti', 'owner', 'siti@example.org'],
      ['Ani', 'member', null],
      ['Budi', 'member', null]
    ]);
    expect(elsewhere).toEqual([]);
    expect(problems).toEqual([]);
  } finally {
    child.kill();
  }
});

test('a message that is sent when the session has just ended is sent, and what was typed is never lost', async ({ page, browser, language }) => {
  const t = translate(language);
  const owner = await browser.newContext();
  const asOwner = async <R>(method: string, path: string, data?: unknown): Promise<R> => (await owner.request.fetch(`${server.url}/api${path}`, { method, headers: { 'x-terang': '1' }, data })).json() as R;
  await asOwner('POST', '/login', { email: 'siti@example.org', password: PASSWORD });
  const port = await free();
  const origin = `http://127.0.0.1:${port}`;
  const app = await asOwner<App>('POST', '/admin/embeds', { name: 'Warung', origins: [origin], algorithm: 'HS256' });
  const child = await shop(app, port);
  let bearer = '';
  page.on('request', (asked) => {
    bearer = asked.headers()['authorization'] ?? bearer;
  });
  /** The session ends, and the page knows nothing of it. */
  const end = async () => {
    const ended = await owner.request.fetch(`${server.url}/api/embed/session`, { method: 'DELETE', headers: { 'x-terang': '1', authorization: bearer } });
    expect(ended.ok()).toBe(true);
  };
  try {
    await page.goto(`${origin}/?as=ani`);
    await page.locator('terang-chat').evaluate((element, lang) => element.setAttribute('lang', lang), language);
    const frame = page.frameLocator('terang-chat iframe');
    const field = frame.getByLabel(t('compose.label'), { exact: true });
    const send = frame.getByRole('button', { name: t('compose.send') });
    const answered = async () => {
      const stop = frame.getByRole('button', { name: t('compose.stop') });
      await stop.click({ timeout: 4_000 }).catch(async (error: unknown) => {
        if ((await stop.count()) > 0) throw error;
      });
      await expect(frame.getByRole('button', { name: t('message.regenerate') }).last()).toBeEnabled({ timeout: 60_000 });
    };
    await expect(field).toBeVisible();

    // The first message, which makes the chat; with a picture, which no address leads to here.
    await end();
    await frame.locator('form input[type=file]').setInputFiles({ name: 'warung.png', mimeType: 'image/png', buffer: png(300, 200) });
    await expect(frame.getByRole('list', { name: t('compose.attachments') }).getByAltText('warung.png')).toBeVisible();
    await field.fill('Berapa harga beras?');
    await end();
    await send.click();
    await answered();
    const picture = frame.locator('article').first().getByAltText('warung.png');
    await expect.poll(() => picture.evaluate((image: HTMLImageElement) => [image.naturalWidth, image.src.startsWith('blob:')])).toEqual([300, true]);
    await expect(frame.locator('article')).toHaveCount(2);

    // Meanwhile the application has the token that it had, and says so again.
    let asked = 0;
    await page.route('**/token?as=*', async (route) => {
      asked += 1;
      await route.fulfill({ json: { token: await page.locator('terang-chat').getAttribute('token') } });
    });
    await end();
    await field.fill('Dan gula?');
    await send.click();
    await answered();
    expect(asked).toBe(1);
    await expect(frame.locator('article')).toHaveCount(4);

    // The application brings no token: the text is in the field, and is sent once there is one.
    await page.unroute('**/token?as=*');
    await page.route('**/token?as=*', (route) => route.fulfill({ status: 503, body: '' }));
    await end();
    await field.fill('Dan minyak?');
    await send.click();
    await expect(frame.getByRole('button', { name: t('compose.resend') })).toBeVisible({ timeout: 30_000 });
    await expect(field).toHaveValue('Dan minyak?');
    await page.unroute('**/token?as=*');
    await frame.getByRole('button', { name: t('compose.resend') }).click();
    await answered();
    await expect(frame.locator('article')).toHaveCount(6);
    await expect(frame.locator('article').nth(4)).toContainText('Dan minyak?');
    await expect(field).toHaveValue('');
  } finally {
    child.kill();
    await owner.close();
  }
});

test('a page of another origin cannot frame it, and the rest of Terang nobody can', async ({ page, browser }) => {
  const owner = await browser.newContext();
  const send = async <R>(method: string, path: string, data?: unknown): Promise<R> => (await owner.request.fetch(`${server.url}/api${path}`, { method, headers: { 'x-terang': '1' }, data })).json() as R;
  await send('POST', '/login', { email: 'siti@example.org', password: PASSWORD });
  const app = await send<App>('POST', '/admin/embeds', { name: 'Elsewhere', origins: ['https://shop.example'], algorithm: 'HS256' });
  const port = await free();
  const allowed = await send<App>('POST', '/admin/embeds', { name: 'Here', origins: [`http://127.0.0.1:${port}`], algorithm: 'HS256' });
  const foreign: Http = createServer((request, response) => {
    const src = new URL(request.url ?? '/', 'http://x').searchParams.get('src') ?? '';
    response.setHeader('content-type', 'text/html');
    response.end(`<!doctype html><title>x</title><iframe id="f" width="400" height="300" src="${src}"></iframe>`);
  });
  await new Promise<void>((done) => foreign.listen(port, '127.0.0.1', done));
  try {
    const shown = async (path: string) => {
      await page.goto(`http://127.0.0.1:${port}/?src=${encodeURIComponent(server.url + path)}`);
      await page.waitForTimeout(300);
      const frame = await (await page.locator('#f').elementHandle())?.contentFrame();
      // A page that may not be here is an error page of the browser's, with none of ours in it.
      return frame?.url().startsWith(server.url) === true && (await frame.locator('#app').count()) > 0;
    };
    expect(await shown(`/embed/${allowed.id}`)).toBe(true);
    for (const path of [`/embed/${app.id}`, '/', '/login', '/admin', '/embed/0198c0de-0000-7000-8000-000000000000', '/docs']) expect(await shown(path), path).toBe(false);
  } finally {
    foreign.close();
    await owner.close();
  }
});

test('administrators make applications on a page, and by itself the frame says that it is one', async ({ browser, language, locale }) => {
  const t = translate(language);
  const context = await browser.newContext({ locale: locale ?? 'en-GB', serviceWorkers: 'block' });
  await context.request.post(`${server.url}/api/login`, { headers: { 'x-terang': '1' }, data: { email: 'siti@example.org', password: PASSWORD } });
  const page = await context.newPage();
  await page.goto(`${server.url}/admin/embedding`);
  await page.getByLabel(t('app.name_label'), { exact: true }).fill('Sekolah');
  await page.getByLabel(t('embed.origins')).fill('https://*.example.org');
  await page.getByRole('button', { name: t('app.create') }).click();
  await expect(page.getByRole('alert').filter({ hasText: 'origins' })).toBeVisible();
  await page.getByLabel(t('embed.origins')).fill('https://sekolah.example.org');
  await page.getByRole('button', { name: t('app.create') }).click();
  await expect(page.getByText(t('embed.secret'))).toBeVisible();
  const secret = (await page.getByRole('status').locator('code').first().innerText()).trim();
  expect(secret).toHaveLength(43);
  await accessible(page, 'embedding');
  await page.reload();
  const row = page.getByRole('listitem').filter({ hasText: 'Sekolah' });
  await expect(row).toContainText('https://sekolah.example.org');
  await expect(page.getByText(secret)).toHaveCount(0);
  await row.getByRole('button', { name: t('admin.disable') }).click();
  await expect(row).toContainText(t('admin.disabled'));
  await row.getByRole('button', { name: t('app.delete') }).click();
  await page.getByRole('dialog').getByRole('button', { name: t('app.delete'), exact: true }).click();
  await expect(row).toHaveCount(0);

  await page.goto(`${server.url}/embed/0198c0de-0000-7000-8000-000000000000`);
  await expect(page.getByText(t('embed.alone'))).toBeVisible();
  await accessible(page, 'embedded page');
  await context.close();
});
