/** A conversation, from the first word on. */
import { expect, halt, test } from './fixtures';

type Chat = { id: string; title: string; folder_id: string | null; settings: { system?: string } };
type Message = { id: string; role: string; content: string; status: string };

test('a person asks, reads, and finds the chat again', async ({ page, app, server }) => {
  await page.goto(server.url);
  // Long enough to be stopped.
  await app.send('Say hello in a hundred languages.');
  await expect(page).toHaveURL(/\/c\/[0-9a-f-]{36}$/);
  await halt(page.getByRole('button', { name: app.t('compose.stop') }));
  await app.answered();
  const id = page.url().split('/').pop() ?? '';
  const { messages } = await app.call<{ messages: Message[] }>('GET', `/chats/${id}`);
  expect(messages.map((message) => message.role)).toEqual(['user', 'assistant']);
  await page.reload();
  await expect(page.getByText('Say hello in a hundred languages.', { exact: true }).last()).toBeVisible();
  await expect(page.getByRole('navigation').getByRole('link', { name: /Say hello/ }).first()).toBeVisible();
});

test('an answer streams, and a reload in its middle loses nothing', async ({ page, app, server }) => {
  const id = await app.shortChat(120);
  await app.send('Tell me a long story about a river.');
  const answer = page.locator('article').last().locator('.prose');
  await expect(answer).toBeVisible();
  await page.waitForTimeout(400);
  await page.reload();
  await expect(page.locator('article')).toHaveCount(2);
  await app.answered();
  const { messages } = await app.call<{ messages: Message[] }>('GET', `/chats/${id}`);
  // Letters alone: marks of Markdown are not shown.
  const letters = (text: string) => text.replace(/[^\p{L}]+/gu, '');
  const saved = letters(messages.at(-1)?.content ?? '');
  const shown = letters(await answer.innerText());
  expect(saved.length).toBeGreaterThan(60);
  expect(shown.slice(0, 200)).toBe(saved.slice(0, 200));
  expect(shown.slice(-60)).toBe(saved.slice(-60));
  expect(server.log).not.toContain('river');
});

test('two tabs watch the same answer', async ({ page, app, context }) => {
  await app.shortChat(60);
  await app.send('Count from one to fifty.');
  const other = await context.newPage();
  await other.goto(page.url());
  await expect(other.locator('article').last().locator('.prose')).toBeVisible();
  await app.answered();
  await expect(other.getByRole('button', { name: app.t('message.regenerate') }).last()).toBeEnabled();
  const text = await page.locator('article').last().locator('.prose').innerText();
  expect(await other.locator('article').last().locator('.prose').innerText()).toBe(text);
  await other.close();
});

test('versions of answers and of questions are branches', async ({ page, app }) => {
  const id = await app.shortChat();
  await app.send('First question');
  await app.answered();
  await page.getByRole('button', { name: app.t('message.regenerate') }).click();
  await expect(page.getByText('2/2')).toBeVisible();
  await app.answered();
  await page.getByRole('button', { name: app.t('message.previous') }).click();
  await expect(page.getByText('1/2')).toBeVisible();

  const question = page.locator('article').first();
  await question.hover();
  await question.getByRole('button', { name: app.t('message.edit') }).click();
  await page.getByLabel(app.t('message.edit_label')).fill('Second question');
  await page.getByRole('button', { name: app.t('message.edit_send') }).first().click();
  await expect(page.getByText('Second question', { exact: true }).last()).toBeVisible();
  await app.answered();
  await expect(page.locator('article').getByText('First question', { exact: true })).toHaveCount(0);
  await page.locator('article').first().hover();
  await page.locator('article').first().getByRole('button', { name: app.t('message.previous') }).click();
  await expect(page.locator('article').getByText('First question', { exact: true })).toBeVisible();
  const { messages } = await app.call<{ messages: Message[] }>('GET', `/chats/${id}`);
  expect(messages).toHaveLength(5);

  // The branch that is shown is kept.
  await page.waitForTimeout(600);
  await page.reload();
  await expect(page.locator('article').getByText('First question', { exact: true })).toBeVisible();
});

test('a stopped answer is kept and can be continued', async ({ page, app }) => {
  const id = await app.shortChat(600);
  await app.send('Write a long poem about the sea.');
  await expect(page.locator('article').last().locator('.prose')).toContainText(/\w{3}/);
  await page.getByRole('button', { name: app.t('compose.stop') }).click();
  await app.answered();
  const before = await app.call<{ messages: Message[] }>('GET', `/chats/${id}`);
  const text = before.messages.at(-1)?.content ?? '';
  expect(before.messages.at(-1)?.status).toBe('stopped');
  await page.getByRole('button', { name: app.t('message.continue') }).click();
  const content = async () =>
    (await app.call<{ messages: Message[] }>('GET', `/chats/${id}`)).messages.at(-1)?.content ?? '';
  await expect.poll(async () => (await content()).length).toBeGreaterThan(text.length);
  const stop = page.getByRole('button', { name: app.t('compose.stop') });
  if (await stop.isVisible()) await stop.click();
  await app.answered();
  expect((await content()).startsWith(text)).toBe(true);
});

test('a message is copied, and deleted with what follows it', async ({ page, app }) => {
  const id = await app.shortChat();
  await app.send('Keep this');
  await app.answered();
  await page.locator('article').last().getByRole('button', { name: app.t('message.copy'), exact: true }).click();
  await expect(page.getByRole('button', { name: app.t('app.copied') })).toBeVisible();
  await app.send('Delete this');
  await app.answered();
  const question = page.locator('article').nth(2);
  await question.hover();
  await question.getByRole('button', { name: app.t('message.delete') }).click();
  await page.getByRole('dialog').getByRole('button', { name: app.t('message.delete'), exact: true }).click();
  await expect(page.locator('article').getByText('Delete this', { exact: true })).toHaveCount(0);
  await expect(page.locator('article').getByText('Keep this', { exact: true })).toBeVisible();
  const { messages } = await app.call<{ messages: Message[] }>('GET', `/chats/${id}`);
  expect(messages).toHaveLength(2);
});

test('a draft survives a reload, and a text that was not sent comes back', async ({ page, app, context }) => {
  await app.shortChat();
  const field = page.getByLabel(app.t('compose.label'), { exact: true });
  await field.fill('not finished yet');
  await page.waitForTimeout(400);
  await page.reload();
  await expect(field).toHaveValue('not finished yet');
  await context.setOffline(true);
  await page.getByRole('button', { name: app.t('compose.send') }).click();
  await expect(page.getByRole('alert').first()).toBeVisible();
  await expect(field).toHaveValue('not finished yet');
  await context.setOffline(false);
  await page.getByRole('button', { name: app.t('compose.resend') }).click();
  await expect(page.locator('article').first()).toContainText('not finished yet');
  await app.answered();
  await expect(field).toHaveValue('');
  app.wrong.length = 0;
});

test('a chat is renamed, pinned, put into a folder, archived and deleted', async ({ page, app }) => {
  const id = await app.shortChat();
  await app.send('Something to keep');
  await app.answered();
  const menu = page.getByRole('button', { name: app.t('chat.menu_here') });
  const choose = async (label: string) => {
    await menu.click();
    await page.getByRole('menuitem', { name: label, exact: true }).click();
  };
  const nav = page.getByRole('navigation', { name: app.t('nav.sidebar') });

  await choose(app.t('chat.rename'));
  await page.getByRole('dialog').getByLabel(app.t('chat.rename_label')).fill('A new name');
  await page.getByRole('button', { name: app.t('app.save') }).click();
  await expect(nav.getByRole('link', { name: 'A new name' })).toBeVisible();

  await choose(app.t('chat.pin'));
  await expect(nav.getByRole('heading', { name: app.t('group.pinned') })).toBeVisible();

  await page.getByRole('button', { name: app.t('nav.new_folder') }).click();
  await page.getByRole('dialog').getByLabel(app.t('nav.folder_name')).fill('Work');
  await page.getByRole('button', { name: app.t('app.create') }).click();
  await expect(nav.getByRole('button', { name: 'Work' }).first()).toBeVisible();
  await menu.click();
  await page.getByRole('menuitem', { name: app.t('chat.move') }).press('ArrowRight');
  await page.getByRole('menuitemcheckbox', { name: 'Work' }).first().click();
  await expect.poll(async () => (await app.call<{ chat: Chat }>('GET', `/chats/${id}`)).chat.folder_id).not.toBeNull();
  await nav.getByRole('button', { name: 'Work' }).first().click();
  await expect(nav.getByRole('link', { name: 'A new name' })).toBeVisible();
  await nav.getByRole('button', { name: app.t('nav.all_chats') }).click();

  await choose(app.t('chat.archive'));
  await expect(nav.getByRole('link', { name: 'A new name' })).toHaveCount(0);
  await choose(app.t('chat.unarchive'));
  await expect(nav.getByRole('link', { name: 'A new name' })).toBeVisible();

  await choose(app.t('app.delete'));
  await page.getByRole('dialog').getByRole('button', { name: app.t('app.delete'), exact: true }).click();
  await expect(nav.getByRole('link', { name: 'A new name' })).toHaveCount(0);
  await expect(page).toHaveURL(/\/$/);
  const response = await page.request.get(`${new URL(page.url()).origin}/api/chats/${id}`);
  expect(response.status()).toBe(404);
});

test('what was said is found, and opened where it was said', async ({ page, app }) => {
  await app.shortChat(8);
  await app.send('The word is zanzibar today');
  await app.answered();
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('zanzibar');
  const hit = page.getByRole('option').filter({ hasText: /zanzibar/i }).first();
  await expect(hit).toBeVisible();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expect(page.getByText('The word is zanzibar today').last()).toBeVisible();
});

test('a temporary chat is on no list', async ({ page, app, server }) => {
  await page.goto(server.url);
  await page.getByRole('button', { name: app.t('chat.temporary') }).click();
  await expect(page.getByText(app.t('chat.temporary_text'))).toBeVisible();
  await app.send('This is a secret of mine');
  await halt(page.getByRole('button', { name: app.t('compose.stop') }));
  await app.answered();
  await page.goto(server.url);
  await expect(page.getByRole('navigation').getByRole('link').first()).toBeVisible();
  await expect(page.getByRole('link', { name: /secret of mine/ })).toHaveCount(0);
});

test('a chat has settings of its own', async ({ page, app }) => {
  const id = await app.shortChat();
  await page.getByRole('button', { name: app.t('chat.settings') }).click();
  await page.getByLabel(app.t('settings.system')).fill('Answer briefly.');
  await page.getByLabel(app.t('settings.seed')).fill('7');
  await page.getByRole('dialog').getByRole('button', { name: app.t('app.close') }).last().click();
  await expect
    .poll(async () => (await app.call<{ chat: Chat }>('GET', `/chats/${id}`)).chat.settings)
    .toMatchObject({ system: 'Answer briefly.', seed: 7, max_tokens: 24 });
  await app.send('Hello');
  await app.answered();
});

test('a prompt of the library comes with a slash', async ({ page, app, server }) => {
  await page.goto(`${server.url}/prompts`);
  await page.getByRole('button', { name: app.t('prompts.new') }).click();
  await page.getByRole('dialog').getByLabel(app.t('app.name_label')).fill('greet');
  await page.getByRole('dialog').getByLabel(app.t('prompts.text')).fill('Write a greeting for a friend.');
  await page.getByRole('button', { name: app.t('app.create') }).click();
  await expect(page.getByRole('heading', { name: '/greet' }).first()).toBeVisible();
  await app.shortChat();
  const field = page.getByLabel(app.t('compose.label'), { exact: true });
  await field.pressSequentially('/gre');
  await expect(page.getByRole('option').first()).toBeVisible();
  await field.press('Enter');
  await expect(field).toHaveValue('Write a greeting for a friend.');
});

test('an assistant brings its instructions along', async ({ page, app, server }) => {
  await page.goto(`${server.url}/assistants`);
  await page.getByRole('button', { name: app.t('assistants.new') }).click();
  await page.getByRole('dialog').getByLabel(app.t('app.name_label')).fill('Poet');
  await page.getByRole('dialog').getByLabel(app.t('assistants.instructions')).fill('Speak in verse.');
  await page.getByRole('button', { name: app.t('app.save') }).click();
  await page.getByRole('link', { name: app.t('assistants.start') }).first().click();
  await app.send('Good morning');
  await halt(page.getByRole('button', { name: app.t('compose.stop') }));
  await app.answered();
  const { chat } = await app.call<{ chat: Chat }>('GET', `/chats/${page.url().split('/').pop()}`);
  expect(chat.settings.system).toBe('Speak in verse.');
});

test('a shared link shows the chat to whoever has it, until it is withdrawn', async ({ page, app, browser, server }) => {
  await app.shortChat();
  await app.send('To be shared');
  await app.answered();
  await page.getByRole('button', { name: app.t('chat.menu_here') }).click();
  await page.getByRole('menuitem', { name: app.t('chat.share') }).click();
  await page.getByRole('button', { name: app.t('chat.share_make') }).click();
  const link = (await page.getByRole('dialog').getByRole('link').first().getAttribute('href')) ?? '';
  const stranger = await (await browser.newContext({ serviceWorkers: 'block' })).newPage();
  await stranger.goto(link);
  await expect(stranger.getByText('To be shared', { exact: true }).last()).toBeVisible();
  await expect(stranger.locator('article')).toHaveCount(2);
  await expect(stranger.getByRole('textbox')).toHaveCount(0);
  await page.getByRole('button', { name: app.t('chat.share_end') }).click();
  await expect(page.getByText(app.t('chat.share_none'))).toBeVisible();
  await stranger.reload();
  await expect(stranger.getByRole('heading')).toBeVisible();
  await expect(stranger.locator('article')).toHaveCount(0);
  await stranger.context().close();
  expect(link.startsWith(server.url)).toBe(true);
});

test('the keyboard does everything', async ({ page, app, server }) => {
  await page.goto(server.url);
  await expect(page.getByLabel(app.t('compose.label'), { exact: true })).toBeFocused();
  await page.keyboard.press('Control+Shift+S');
  await expect(page.getByRole('navigation')).toHaveCount(0);
  await page.keyboard.press('Control+Shift+S');
  await expect(page.getByRole('navigation')).toBeVisible();
  await page.keyboard.press('Control+/');
  await expect(page.getByRole('dialog', { name: app.t('palette.shortcuts') })).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill(app.t('nav.prompts'));
  await expect(page.getByRole('option', { name: app.t('nav.prompts') }).first()).toBeVisible();
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/prompts$/);
  await page.keyboard.press('Control+Shift+O');
  await expect(page).toHaveURL(/\/$/);
  await expect(page.getByLabel(app.t('compose.label'), { exact: true })).toBeFocused();
  await page.keyboard.type('Write a long story about a pen.');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: app.t('compose.stop') })).toBeVisible();
  await page.keyboard.press('Escape');
  await app.answered();
});

test('an answer that the server was killed in is there up to then', async ({ page, app, server }) => {
  const id = await app.shortChat(800);
  await app.send('Tell me everything about mountains, at length.');
  await expect(page.locator('article').last().locator('.prose')).toContainText(/\w{3}/);
  await page.waitForTimeout(1500);
  await server.crash();
  await expect(page.getByText(app.t('message.cut'))).toBeVisible();
  const { messages } = await app.call<{ messages: Message[] }>('GET', `/chats/${id}`);
  expect(messages.map((message) => message.status)).toEqual(['done', 'cut']);
  expect(messages.at(-1)?.content.length).toBeGreaterThan(0);
  app.wrong.length = 0;
});
