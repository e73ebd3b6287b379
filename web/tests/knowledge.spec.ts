/** Documents: uploaded into a collection, asked, and opened where the answer came from. */
import { accessible } from './accessible';
import { LEAVE, pdf } from './documents';
import { expect, test, translate, watch } from './fixtures';
import { Server } from './server';

test('documents are uploaded, asked, and their passages opened', async ({ page, app, server }) => {
  test.slow();
  const { t } = app;
  const name = `Rules ${Date.now()}`;
  await page.goto(`${server.url}/knowledge`);
  await page.getByRole('button', { name: t('knowledge.new') }).click();
  await page.getByLabel(t('app.name_label'), { exact: true }).fill(name);
  await page.getByRole('button', { name: t('app.save') }).click();
  await expect(page).toHaveURL(/\/knowledge\/.+/);
  await expect(page.getByRole('heading', { name })).toBeVisible();

  await expect(page.getByText(t('knowledge.empty'))).toBeVisible();
  await accessible(page, 'an empty collection');

  // Files are chosen, or dropped.
  const markup = '<img src=x onerror=alert(1)>.md';
  await page.locator('input[type=file]').setInputFiles([
    { name: 'leave.md', mimeType: 'text/markdown', buffer: Buffer.from(LEAVE) },
    { name: 'canteen.pdf', mimeType: 'application/pdf', buffer: pdf('The canteen opens at seven in the morning.') },
    { name: 'broken.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.7\nnothing at all') }
  ]);
  const dropped = await page.evaluateHandle((title) => {
    const files = new DataTransfer();
    files.items.add(new File(['Kumquats are small oranges.'], title));
    return files;
  }, markup);
  // Beside the place that says so, too: the browser would open what is dropped there.
  await page.getByRole('heading', { name }).dispatchEvent('drop', { dataTransfer: dropped });
  const row = (title: string) => page.getByRole('listitem').filter({ hasText: title });
  await expect(row('leave.md')).toContainText(t('knowledge.state.ready'), { timeout: 60_000 });
  await expect(row('canteen.pdf')).toContainText(t('knowledge.state.ready'), { timeout: 60_000 });
  await expect(row(markup)).toContainText(t('knowledge.state.ready'), { timeout: 60_000 });
  await expect(row('broken.pdf')).toContainText(t('knowledge.why.damaged'), { timeout: 60_000 });
  await row('broken.pdf').getByRole('button', { name: t('knowledge.retry') }).click();
  await expect(row('broken.pdf')).toContainText(t('knowledge.why.damaged'), { timeout: 60_000 });
  // What can be told at once is refused at once.
  await page.locator('input[type=file]').setInputFiles([{ name: 'a.zip', mimeType: 'application/zip', buffer: Buffer.from('PK\x03\x04') }]);
  await expect(page.getByText(`a.zip: ${t('knowledge.why.unknown_format')}`)).toBeVisible();
  await row('broken.pdf').getByRole('button', { name: `${t('app.delete')} broken.pdf` }).click();
  await page.getByRole('dialog').getByRole('button', { name: t('app.delete'), exact: true }).click();
  await expect(row('broken.pdf')).toHaveCount(0);
  await expect(page.getByText(t('knowledge.by_words'))).toBeVisible();
  await accessible(page, 'a collection');

  await page.getByLabel(t('knowledge.search')).first().fill('When does the canteen open?');
  await page.getByRole('search').getByRole('button').click();
  await page.getByRole('button', { name: /canteen\.pdf/ }).filter({ hasText: 'seven' }).click();
  const panel = page.getByRole('dialog');
  await expect(panel.locator('mark')).toHaveText('The canteen opens at seven in the morning.');
  await page.keyboard.press('Escape');
  await expect(panel).toHaveCount(0);

  // A chat that answers from the collection.
  await app.shortChat(12);
  await page.getByRole('button', { name: t('knowledge.choose') }).click();
  await page.getByLabel(new RegExp(name)).check();
  await accessible(page, 'the choice of collections');
  await page.getByRole('dialog').getByRole('button', { name: t('app.close') }).last().click();
  await expect(page.getByRole('button', { name: t('knowledge.unchoose', { name }) })).toBeVisible();
  await expect
    .poll(async () => {
      const { chats } = await app.call<{ chats: { settings: { collections?: string[] } }[] }>('GET', '/chats?limit=1');
      return chats[0]?.settings.collections?.length;
    })
    .toBe(1);
  await app.send('How many days of leave are there?');
  await app.answered();
  const source = page.getByRole('button', { name: t('sources.open', { n: 1, name: 'leave.md' }) });
  await source.click();
  await expect(panel.locator('mark')).toContainText('twelve days of leave');
  await expect(panel).toContainText('<script>');
  await accessible(page, 'a passage');
  await page.keyboard.press('Escape');
  await expect(source).toBeFocused();

  // A number in the text leads there, too. So small a model names none by itself.
  const chat = page.url();
  await page.route('**/api/chats/*', async (route) => {
    const response = await route.fetch();
    const whole = await response.json();
    whole.messages[1].content = 'They have **twelve** days [1], and not [9].';
    await route.fulfill({ response, json: whole });
  });
  await page.goto(chat);
  await page.getByRole('link', { name: t('sources.open', { n: 1, name: 'leave.md' }) }).click();
  await expect(panel.locator('mark')).toContainText('twelve days of leave');
  await page.keyboard.press('Escape');
  expect(page.url()).toBe(chat);
  await expect(page.getByText('and not [9].')).toBeVisible();
  await accessible(page, 'an answer that names its sources');
  await page.unroute('**/api/chats/*');

  // After a reload the sources are there, and say so when their document is gone.
  const { collections } = await app.call<{ collections: { id: string; name: string }[] }>('GET', '/collections');
  const own = collections.find((collection) => collection.name === name);
  await app.call('DELETE', `/collections/${own?.id}`);
  await page.goto(chat);
  await source.click();
  await expect(panel).toContainText(t('sources.gone'));
  await page.keyboard.press('Escape');
  expect(await page.title()).not.toContain('pwned');
});

test('an assistant answers from documents, and files of a chat may be PDF', async ({ page, app, server }) => {
  const { t } = app;
  const made = await app.call<{ id: string }>('POST', '/collections', { name: 'Handbook' });
  await page.goto(`${server.url}/assistants`);
  await page.getByRole('button', { name: t('assistants.new') }).click();
  await page.getByLabel(t('app.name_label'), { exact: true }).fill('Helper');
  await page.getByLabel(/Handbook/).check();
  await page.getByRole('button', { name: t('app.save') }).click();
  await expect(page.getByRole('heading', { name: 'Helper' })).toBeVisible();
  const card = page.getByRole('listitem').filter({ hasText: 'Helper' });
  await card.getByRole('link', { name: t('assistants.start') }).click();
  await expect(page.getByRole('button', { name: t('knowledge.unchoose', { name: 'Handbook' }) })).toBeVisible();
  await page.locator('form input[type=file]').setInputFiles([
    { name: 'word.pdf', mimeType: 'application/pdf', buffer: pdf('The word is rambutan.') }
  ]);
  await expect(page.getByRole('button', { name: t('compose.remove', { name: 'word.pdf' }) })).toBeVisible();
  await page.locator('form input[type=file]').setInputFiles([
    { name: 'bad.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.7\nnothing') }
  ]);
  await expect(page.getByText(`bad.pdf: ${t('knowledge.why.damaged')}`)).toBeVisible();
  await app.call('DELETE', `/collections/${made.id}`);
});

test('another person finds nothing', async ({ browser, language, locale }) => {
  const server = await Server.start('--accounts');
  try {
    const t = translate(language);
    const context = await browser.newContext({ locale: locale ?? 'en-GB', serviceWorkers: 'block' });
    const page = await context.newPage();
    const wrong = watch(page, server.url);
    const headers = { 'x-terang': '1', 'content-type': 'application/json' };
    const call = async (of: typeof page, path: string, data: unknown) => {
      const response = await of.request.post(`${server.url}/api${path}`, { headers, data: JSON.stringify(data) });
      expect(response.ok(), await response.text()).toBe(true);
      return response.json();
    };
    const account = (name: string) => ({ name, email: `${name}@example.org`, password: 'hujan turun di sawah' });
    await call(page, '/setup', account('siti'));
    const made = await call(page, '/collections', { name: 'Secret' });
    const invited = await call(page, '/admin/invitations', { role: 'member' });
    const other = await browser.newContext({ locale: locale ?? 'en-GB', serviceWorkers: 'block' });
    const guest = await other.newPage();
    await call(guest, `/invitations/${invited.token}`, account('budi'));
    await guest.goto(`${server.url}/knowledge`);
    await expect(guest.getByText(t('knowledge.none'))).toBeVisible();
    await guest.goto(`${server.url}/knowledge/${made.id}`);
    await expect(guest.getByText(t('knowledge.gone'))).toBeVisible();
    await page.goto(`${server.url}/knowledge/${made.id}`);
    await expect(page.getByRole('heading', { name: 'Secret' })).toBeVisible();
    expect(wrong).toEqual([]);
  } finally {
    await server.stop();
  }
});
