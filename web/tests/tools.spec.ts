/**
 * Tools: set up by whoever administers, allowed by whoever chats. The server of tools is a real program
 * (`crates/cli/examples/mcp_server.rs`).
 */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { accessible } from './accessible';
import { expect, test, type App } from './fixtures';

const BINARY = process.env['TERANG'] ?? resolve(import.meta.dirname, '../../target/debug/terang');
const PROGRAM = process.env['TERANG_MCP'] ?? join(dirname(BINARY), 'examples/mcp_server');

test.beforeEach(() => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is not there: \`cargo build -p terang-cli --examples\` makes it`);
});

type Added = { id: string; name: string };

/** A server of tools with a name of its own, and a chat that may use it. */
async function toolChat(app: App, url: string, page: import('@playwright/test').Page): Promise<Added> {
  const name = `mcp-${Date.now() % 1_000_000}-${Math.floor(Math.random() * 1000)}`;
  const made = await app.call<Added>('POST', '/admin/tools', { name, kind: 'stdio', command: PROGRAM });
  const settings = { max_tokens: 64, temperature: 0, tools: [made.id] };
  const chat = await app.call<{ id: string }>('POST', '/chats', { settings });
  await page.goto(`${url}/c/${chat.id}`);
  await expect(page.getByLabel(app.t('compose.label'), { exact: true })).toBeVisible();
  return { id: made.id, name };
}

/** Picks the tool that the next answer begins with, by keyboard. */
async function pick(app: App, page: import('@playwright/test').Page, title: string): Promise<void> {
  await page.getByRole('button', { name: app.t('tools.menu') }).press('Enter');
  const below = page.getByRole('menuitem', { name: app.t('tools.use') });
  await expect(below).toBeVisible({ timeout: 30_000 });
  await below.press('ArrowRight');
  const item = page.getByRole('menuitem', { name: title }).first();
  await expect(item).toBeVisible();
  await item.press('Enter');
  await expect(page.getByRole('menu')).toHaveCount(0);
}

test('a server of tools is set up, tested, switched off and removed', async ({ page, app, server }) => {
  test.slow();
  const name = `page-${Date.now() % 1_000_000}`;
  await page.goto(`${server.url}/admin/tools`);
  await page.getByRole('button', { name: app.t('tools.add') }).click();
  await page.getByLabel(app.t('tools.kind_stdio')).check();
  await page.getByRole('textbox', { name: app.t('app.name_label'), exact: true }).fill(name);
  await page.getByRole('textbox', { name: app.t('tools.command'), exact: true }).fill('/nowhere/program');
  await accessible(page, 'form of a server of tools');
  await page.getByRole('button', { name: app.t('app.save') }).click();
  const card = page.getByRole('listitem').filter({ has: page.getByRole('heading', { name }) });
  await card.getByRole('button', { name: app.t('tools.test') }).click();
  await expect(card.getByText(app.t('tools.unreachable', { why: '' }).trim())).toBeVisible({ timeout: 30_000 });
  await card.getByRole('button', { name: app.t('tools.edit', { name }) }).click();
  await page.getByRole('textbox', { name: app.t('tools.command'), exact: true }).fill(PROGRAM);
  await page.getByRole('button', { name: app.t('app.save') }).click();
  await card.getByRole('button', { name: app.t('tools.test') }).click();
  await expect(card.getByText('Adds two numbers')).toBeVisible({ timeout: 30_000 });
  await accessible(page, 'servers of tools');
  await card.getByRole('button', { name: app.t('admin.disable') }).click();
  await expect(card.getByText(app.t('admin.disabled'))).toBeVisible();
  await card.getByRole('button', { name: app.t('tools.delete', { name }) }).click();
  await page.getByRole('dialog').getByRole('button', { name: app.t('app.delete') }).click();
  await expect(card).toHaveCount(0);
  // An address of this machine is refused with words, not reached.
  await page.getByRole('button', { name: app.t('tools.add') }).click();
  await page.getByRole('textbox', { name: app.t('app.name_label'), exact: true }).fill(`${name}-local`);
  await page.getByRole('textbox', { name: app.t('tools.url'), exact: true }).fill('https://127.1:9/mcp');
  await page.getByRole('button', { name: app.t('app.save') }).click();
  const local = page.getByRole('listitem').filter({ has: page.getByRole('heading', { name: `${name}-local` }) });
  await local.getByRole('button', { name: app.t('tools.test') }).click();
  await expect(local.getByText(/127\.1:9/).last()).toBeVisible({ timeout: 30_000 });
  await local.getByRole('button', { name: app.t('tools.delete', { name: `${name}-local` }) }).click();
  await page.getByRole('dialog').getByRole('button', { name: app.t('app.delete') }).click();
  await expect(local).toHaveCount(0);
});

test('a call is asked about, allowed by keyboard, and opened', async ({ page, app, server }) => {
  test.slow();
  const tools = await toolChat(app, server.url, page);
  await pick(app, page, 'Addition');
  await expect(page.getByText(app.t('tools.next', { tool: 'add' }))).toBeVisible();
  await page.evaluate(() => {
    const told: string[] = [];
    (window as unknown as { told: string[] }).told = told;
    for (const region of document.querySelectorAll('[aria-live=polite]')) {
      new MutationObserver(() => told.push(region.textContent ?? '')).observe(region, { childList: true, characterData: true, subtree: true });
    }
  });
  await app.send('Add two numbers.');
  const question = app.t('tools.asks', { tool: 'add', server: tools.name });
  const asked = page.getByRole('group', { name: question });
  await expect(asked).toBeVisible({ timeout: 60_000 });
  await accessible(page, 'a call that waits');
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(over, 'no wider than the screen').toBeLessThanOrEqual(0);
  // Told once, though it waits.
  await page.waitForTimeout(1500);
  const told = await page.evaluate(() => (window as unknown as { told: string[] }).told);
  expect(told.filter((text) => text === question)).toHaveLength(1);
  // Who comes back finds it waiting.
  await page.reload();
  await expect(asked).toBeVisible({ timeout: 30_000 });
  await asked.getByRole('button', { name: app.t('tools.allow_once') }).focus();
  await page.keyboard.press('Enter');
  const call = page.locator('details').filter({ hasText: `add · ${tools.name}` });
  await expect(call.getByText(app.t('tools.state.done'))).toBeVisible({ timeout: 60_000 });
  await call.locator('summary').focus();
  await page.keyboard.press('Enter');
  await expect(call.getByText(/The sum is \d+\./)).toBeVisible();
  await app.answered();
  await accessible(page, 'a call that was made');
  await page.reload();
  await expect(call).toBeVisible({ timeout: 30_000 });
});

test('a call is denied, another stopped, and one that is allowed for good is taken back', async ({ page, app, server }) => {
  test.slow();
  const tools = await toolChat(app, server.url, page);
  await pick(app, page, 'note');
  await app.send('Keep a note.');
  const asked = page.getByRole('group', { name: app.t('tools.asks', { tool: 'note', server: tools.name }) });
  await asked.getByRole('button', { name: app.t('tools.deny') }).click({ timeout: 60_000 });
  await expect(page.getByText(app.t('tools.state.denied'))).toBeVisible();
  await app.answered();
  await pick(app, page, 'note');
  await app.send('Keep another.');
  await expect(asked).toBeVisible({ timeout: 60_000 });
  await page.getByRole('button', { name: app.t('compose.stop') }).click();
  await expect(page.locator('summary').getByText(app.t('tools.state.stopped'))).toBeVisible({ timeout: 30_000 });
  await pick(app, page, 'Addition');
  await app.send('Add two numbers.');
  const sum = page.getByRole('group', { name: app.t('tools.asks', { tool: 'add', server: tools.name }) });
  await sum.getByRole('button', { name: app.t('tools.allow_always') }).click({ timeout: 60_000 });
  await app.answered();
  await page.goto(`${server.url}/settings/tools`);
  const kept = page.getByRole('listitem').filter({ hasText: `add · ${tools.name}` });
  await expect(kept.getByText(app.t('tools.everywhere'))).toBeVisible();
  await kept.getByRole('button', { name: app.t('tools.take_back') }).click();
  await expect(kept).toHaveCount(0);
});

test('what a tool says is text and nothing else', async ({ page, app, server }) => {
  test.slow();
  const tools = await toolChat(app, server.url, page);
  await pick(app, page, 'markup');
  await app.send('What does it say?');
  const asked = page.getByRole('group', { name: app.t('tools.asks', { tool: 'markup', server: tools.name }) });
  await asked.getByRole('button', { name: app.t('tools.allow_once') }).click({ timeout: 60_000 });
  const call = page.locator('details').filter({ hasText: `markup · ${tools.name}` });
  await expect(call.getByText(app.t('tools.state.done'))).toBeVisible({ timeout: 60_000 });
  await call.locator('summary').click();
  await expect(call.getByText('<script>document.title', { exact: false })).toBeVisible();
  await expect(call.locator('img, script, a, svg[onload]')).toHaveCount(0);
  await app.answered();
  await expect(page).not.toHaveTitle('taken');
});

test('an assistant brings its tools along', async ({ page, app, server }) => {
  test.slow();
  const name = `mcp-${Date.now() % 1_000_000}`;
  await app.call('POST', '/admin/tools', { name, kind: 'stdio', command: PROGRAM });
  await page.goto(`${server.url}/assistants`);
  await page.getByRole('button', { name: app.t('assistants.new') }).click();
  await page.getByRole('textbox', { name: app.t('app.name_label'), exact: true }).fill(`calculator ${name}`);
  await page.getByLabel(name).check();
  await page.getByRole('button', { name: app.t('app.save') }).click();
  const card = page.getByRole('listitem').filter({ hasText: `calculator ${name}` });
  await card.getByRole('link', { name: app.t('assistants.start') }).click();
  await page.getByRole('button', { name: app.t('tools.menu') }).click();
  await expect(page.getByRole('menuitemcheckbox', { name })).toBeChecked({ timeout: 30_000 });
});
