/** The administrator's models: fetched with their progress shown, and removed. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accessible } from './accessible';
import { expect, test, translate, watch } from './fixtures';
import { Server } from './server';

test('a model is fetched and removed', async ({ page, language }) => {
  const t = translate(language);
  const folder = mkdtempSync(join(tmpdir(), 'terang-models-'));
  // Tests share a folder of models, so that each has names of its own.
  const name = `sample-${randomBytes(4).toString('hex')}:1b`;
  const title = `Sample ${name}`;
  const file = join(folder, 'sample.gguf');
  const bytes = randomBytes(200_000);
  writeFileSync(file, bytes);
  const entry = (model: string, path: string) =>
    [
      '[[model]]',
      `name = "${model}"`,
      `title = "Sample ${model}"`,
      'licence = "Apache-2.0"',
      `bytes = ${bytes.length}`,
      `sha256 = "${createHash('sha256').update(bytes).digest('hex')}"`,
      'context_length = 64',
      'languages = ["id"]',
      'parameters = "1B"',
      'chat_template = false',
      '[[model.source]]',
      'kind = "path"',
      `path = "${path}"`
    ].join('\n');
  const lost = `lost-${randomBytes(4).toString('hex')}:1b`;
  const catalogue = join(folder, 'catalogue.toml');
  writeFileSync(catalogue, `default = "${name}"\n${entry(name, file)}\n${entry(lost, join(folder, 'nowhere'))}\n`);
  const server = await Server.over(catalogue);
  try {
    const wrong = watch(page, server.url);
    await page.goto(`${server.url}/admin/models`);
    await expect(page.getByRole('heading', { name: t('models.here') })).toBeVisible();
    await page.getByRole('button', { name: t('models.fetch_name', { name: title }) }).click();
    const remove = page.getByRole('button', { name: t('models.remove_name', { name: title }) });
    await expect(remove).toBeVisible();
    await expect(page.getByText(t('models.serve_it', { command: `terang serve --model ${name}` }))).toBeVisible();
    await accessible(page, 'models');

    await page.getByRole('button', { name: t('models.fetch_name', { name: `Sample ${lost}` }) }).click();
    await expect(page.locator('.card').getByText(t('models.ended.no_source', { name: lost }))).toBeVisible();

    await remove.click();
    await page.getByRole('dialog').getByRole('button', { name: t('models.remove') }).click();
    await expect(page.getByRole('button', { name: t('models.fetch_name', { name: title }) })).toBeVisible();
    await page.goto(`${server.url}/admin/audit`);
    await expect(page.getByText('model_removed').first()).toBeVisible();
    expect(wrong).toEqual([]);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
