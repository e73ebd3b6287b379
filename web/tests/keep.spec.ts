/** What is kept goes out, comes in, and goes away for good. */
import { readFileSync } from 'node:fs';
import type { Page } from '@playwright/test';
import { exported } from './exported';
import { expect, test, translate, watch, type App } from './fixtures';
import { Server } from './server';

async function saved(page: Page, act: () => Promise<void>): Promise<{ name: string; text: string }> {
  const loading = page.waitForEvent('download');
  await act();
  const download = await loading;
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') };
}

const openWebUi = [
  {
    title: 'Dari Open WebUI',
    chat: {
      title: 'Dari Open WebUI',
      history: {
        currentId: 'b',
        messages: {
          a: { id: 'a', parentId: null, role: 'user', content: 'Apa kabar?', timestamp: 1_700_000_000 },
          b: { id: 'b', parentId: 'a', role: 'assistant', content: 'Baik sekali.', model: 'm' }
        }
      }
    }
  }
];

async function bring(page: Page, app: App, content: unknown): Promise<void> {
  await page.locator('input[type=file][accept*=zip]').setInputFiles({ name: 'conversations.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(content)) });
  await expect(page.getByRole('status').filter({ hasText: app.t('prefs.imported', { n: 1 }) })).toBeVisible();
}

test("ChatGPT's and Open WebUI's exports come in, and what is none is refused", async ({ page, app, server }) => {
  await page.goto(`${server.url}/settings/data`);
  await bring(page, app, [exported('Dari ChatGPT', ['Where is the rice?', 'In the **barn**.'])]);
  await bring(page, app, openWebUi);
  await page.locator('input[type=file][accept*=zip]').setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from('{"nothing": 1') });
  await expect(page.getByRole('alert').first()).toBeVisible();
  for (const [title, answer] of [['Dari ChatGPT', 'In the barn.'], ['Dari Open WebUI', 'Baik sekali.']] as const) {
    await app.sidebar();
    await page.getByRole('navigation', { name: app.t('nav.sidebar') }).getByRole('link', { name: title }).first().click();
    await expect(page.locator('article').last()).toContainText(answer);
  }
});

test('a chat goes out as Markdown, as JSON and on paper, and everything in one file', async ({ page, app, server }) => {
  const turns = Array.from({ length: 130 }, (_, index) => (index % 2 === 0 ? `Question ${index}` : `Answer ${index} with **weight**`));
  await app.call('POST', '/import', [exported('To be kept', turns)]);
  // It is years old: on a small screen the list has it further down than is loaded.
  const { chats } = await app.call<{ chats: { id: string; title: string }[] }>('GET', '/chats?limit=200');
  await page.goto(`${server.url}/c/${chats.find((chat) => chat.title === 'To be kept')?.id}`);
  await expect(page.locator('article').last()).toContainText('Answer 129');
  const choose = async (label: string) => {
    await page.getByRole('button', { name: app.t('chat.menu_here') }).click();
    await page.getByRole('menuitem', { name: label, exact: true }).click();
  };
  const markdown = await saved(page, () => choose(app.t('chat.export_markdown')));
  expect(markdown.name).toMatch(/To.be.kept.*\.md$/);
  expect(markdown.text).toContain('Answer 129 with **weight**');
  const json = await saved(page, () => choose(app.t('chat.export_json')));
  expect(json.name).toMatch(/\.json$/);
  expect((JSON.parse(json.text) as { messages?: unknown[]; chats?: { messages: unknown[] }[] }).chats?.[0]?.messages ?? (JSON.parse(json.text) as { messages: unknown[] }).messages).toHaveLength(130);

  // Paper has all of it, though the screen draws a part.
  const drawn = await page.locator('article').count();
  expect(drawn).toBeLessThan(130);
  await page.evaluate(() => {
    (window as unknown as { printed: number }).printed = 0;
    window.print = () => {
      window.dispatchEvent(new Event('beforeprint'));
      (window as unknown as { printed: number }).printed = document.querySelectorAll('article').length;
      window.dispatchEvent(new Event('afterprint'));
    };
  });
  await choose(app.t('chat.print'));
  await expect.poll(() => page.evaluate(() => (window as unknown as { printed: number }).printed)).toBe(130);
  await page.emulateMedia({ media: 'print' });
  await expect(page.getByRole('button', { name: app.t('compose.send') })).toBeHidden();
  await expect(page.getByRole('heading', { name: 'To be kept' })).toBeVisible();
  await page.emulateMedia({ media: 'screen' });

  await page.goto(`${server.url}/settings/data`);
  const all = await saved(page, () => page.getByRole('link', { name: app.t('prefs.export_do') }).click());
  expect(all.text).toContain('Answer 129 with **weight**');
  const everything = JSON.parse(all.text) as { terang_export: number; chats: { messages: unknown[] }[] };
  expect(everything.terang_export).toBe(1);
  // And what went out comes in again, but for chats in which nothing was said.
  const spoken = everything.chats.filter((chat) => chat.messages.length > 0);
  await page.locator('input[type=file][accept*=zip]').setInputFiles({ name: 'all.json', mimeType: 'application/json', buffer: Buffer.from(all.text) });
  await expect(page.getByRole('status').filter({ hasText: app.t('prefs.imported', { n: spoken.length }) })).toBeVisible();
});

test('a share is withdrawn where all of them are listed', async ({ page, app, server, browser }) => {
  await app.call('POST', '/import', [exported('Shared with all', ['Hello', 'There'])]);
  const { chats } = await app.call<{ chats: { id: string; title: string }[] }>('GET', '/chats?archived=0');
  const chat = chats.find((other) => other.title === 'Shared with all');
  const share = await app.call<{ url: string }>('POST', `/chats/${chat?.id}/shares`, {});
  const stranger = await (await browser.newContext({ serviceWorkers: 'block' })).newPage();
  await stranger.goto(`${server.url}${share.url}`);
  await expect(stranger.locator('article').last()).toContainText('There');
  await page.goto(`${server.url}/settings/data`);
  const row = page.locator('#main').getByRole('listitem').filter({ hasText: 'Shared with all' });
  await row.getByRole('button', { name: app.t('chat.share_end') }).click();
  await expect(row).toHaveCount(0);
  await stranger.reload();
  await expect(stranger.locator('article')).toHaveCount(0);
  await stranger.context().close();
});

test('a member sees sessions, ends one elsewhere, and deletes the account with all that is in it', async ({ browser, language, locale, viewport }) => {
  const server = await Server.start('--accounts');
  try {
    const t = translate(language);
    const options = { locale: locale ?? 'en-GB', viewport: viewport ?? null, serviceWorkers: 'block' as const };
    const owner = await browser.newContext(options);
    const post = async (context: typeof owner, path: string, data: unknown) => {
      const response = await context.request.post(`${server.url}/api${path}`, { headers: { 'x-terang': '1' }, data });
      expect(response.ok(), await response.text()).toBe(true);
      return (await response.json()) as { token: string };
    };
    const password = 'hujan turun di sawah';
    await post(owner, '/setup', { name: 'Siti', email: 'siti@example.org', password });
    const { token } = await post(owner, '/admin/invitations', { role: 'member' });
    const one = await browser.newContext(options);
    const two = await browser.newContext(options);
    await post(one, `/invitations/${token}`, { name: 'Budi', email: 'budi@example.org', password });
    await post(two, '/login', { email: 'budi@example.org', password });
    const page = await one.newPage();
    const wrong = watch(page, server.url);
    const elsewhere = await two.newPage();
    await elsewhere.goto(server.url);
    await expect(elsewhere.getByText(t('chat.greeting_name', { name: 'Budi' }))).toBeVisible();

    await page.goto(`${server.url}/settings/security`);
    const other = page.getByRole('listitem').filter({ hasNotText: t('prefs.session_current') }).filter({ has: page.getByRole('button', { name: t('prefs.session_end') }) });
    await expect(other).toHaveCount(1);
    await other.getByRole('button', { name: t('prefs.session_end') }).click();
    await expect(other).toHaveCount(0);
    await elsewhere.reload();
    await expect(elsewhere).toHaveURL(/\/login/);

    await page.goto(`${server.url}/settings/data`);
    await page.getByRole('button', { name: t('prefs.delete'), exact: true }).click();
    const dialog = page.getByRole('dialog');
    const certain = dialog.getByRole('button', { name: t('prefs.delete_do') });
    await expect(certain).toBeDisabled();
    await dialog.getByLabel(t('prefs.delete_confirm', { word: t('prefs.delete_word') })).fill(t('prefs.delete_word'));
    await dialog.getByLabel(t('auth.password'), { exact: true }).fill('wrong wrong wrong');
    await certain.click();
    await expect(page.getByRole('alert').first()).toBeVisible();
    await dialog.getByLabel(t('auth.password'), { exact: true }).fill(password);
    await certain.click();
    await expect(page).toHaveURL(/\/login/);
    const again = await two.request.post(`${server.url}/api/login`, { headers: { 'x-terang': '1' }, data: { email: 'budi@example.org', password } });
    expect(again.status()).toBe(401);
    expect(wrong).toEqual([]);
    for (const context of [owner, one, two]) await context.close();
  } finally {
    await server.stop();
  }
});

test('an API key is shown once, opens the API, and is revoked', async ({ page, app, server }) => {
  await page.goto(`${server.url}/settings/keys`);
  await page.getByRole('button', { name: app.t('prefs.key_new') }).click();
  await page.getByRole('dialog').getByLabel(app.t('prefs.key_name')).fill('my phone');
  await page.getByRole('dialog').getByRole('button', { name: app.t('app.create') }).click();
  const secret = (await page.getByRole('status').locator('code').innerText()).trim();
  const asks = (key: string) => page.request.get(`${server.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  expect((await asks(secret)).status()).toBe(200);
  await page.reload();
  const row = page.getByRole('listitem').filter({ hasText: 'my phone' });
  await expect(row).toBeVisible();
  await expect(page.getByText(secret)).toHaveCount(0);
  await row.getByRole('button', { name: app.t('prefs.key_revoke') }).click();
  await expect(row).toHaveCount(0);
  // On loopback nobody needs a key: that this one is none any more is what the list says.
  const { keys } = await app.call<{ keys: { name: string }[] }>('GET', '/keys');
  expect(keys.map((key) => key.name)).not.toContain('my phone');
});

test('two tabs that change one chat keep what both have said', async ({ page, app, server, context }) => {
  await app.call('POST', '/import', [exported('In two tabs', ['First question', 'First answer'])]);
  const { chats } = await app.call<{ chats: { id: string; title: string }[] }>('GET', '/chats?archived=0');
  const id = chats.find((other) => other.title === 'In two tabs')?.id ?? '';
  await app.call('PATCH', `/chats/${id}`, { settings: { max_tokens: 8, temperature: 0 } });
  await page.goto(`${server.url}/c/${id}`);
  const other = await context.newPage();
  await other.goto(`${server.url}/c/${id}`);
  await expect(other.locator('article')).toHaveCount(2);
  await app.send('From the one tab');
  await app.answered();
  // The other has not seen that: it changes the question, which is a branch beside it.
  const question = other.locator('article').first();
  await question.hover();
  await question.getByRole('button', { name: app.t('message.edit') }).click();
  await other.getByLabel(app.t('message.edit_label')).fill('From the other tab');
  await other.getByRole('button', { name: app.t('message.edit_send') }).first().click();
  await expect(other.getByText('From the other tab', { exact: true }).last()).toBeVisible();
  await expect(other.getByRole('button', { name: app.t('message.regenerate') }).last()).toBeEnabled({ timeout: 60_000 });
  await other.close();
  const { messages } = await app.call<{ messages: { content: string; status: string }[] }>('GET', `/chats/${id}`);
  const said = messages.map((message) => message.content);
  for (const text of ['First question', 'First answer', 'From the one tab', 'From the other tab']) expect(said).toContain(text);
  expect(messages.length).toBe(6);
  await page.reload();
  await expect(page.locator('article').getByText('From the other tab', { exact: true })).toBeVisible();
  await page.locator('article').first().hover();
  await page.locator('article').first().getByRole('button', { name: app.t('message.previous') }).click();
  await expect(page.locator('article').getByText('From the one tab', { exact: true })).toBeVisible();
});
