/** Pictures: attached, shown, kept and enlarged, and what a person is told of them first. */
import type { Locator, Page } from '@playwright/test';
import { accessible } from './accessible';
import { expect, halt, test } from './fixtures';
import { png } from './picture';

const drawn = (picture: Locator) => picture.evaluate((image: HTMLImageElement) => (image.complete ? image.naturalWidth : 0));

async function noWiderThanTheScreen(page: Page): Promise<void> {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(over).toBeLessThanOrEqual(0);
}

test('a picture is attached, sent, kept with the chat and enlarged', async ({ page, app }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  const id = await app.shortChat(8);
  const list = page.getByRole('list', { name: app.t('compose.attachments') });
  const note = page.getByText(app.t('compose.picture_unseen'));
  await expect(note).toHaveCount(0);
  await page.locator('form input[type=file]').setInputFiles([
    { name: 'sawah pagi.png', mimeType: 'image/png', buffer: png(1600, 1000) },
    // Its name and its type say otherwise; its bytes do not.
    { name: 'padi.jpg', mimeType: 'image/jpeg', buffer: png(20, 2000) }
  ]);
  await expect(list.getByRole('listitem')).toHaveCount(2);
  await expect.poll(() => drawn(list.getByAltText('sawah pagi.png'))).toBe(1600);
  await expect(note).toBeVisible();
  await accessible(page, 'pictures in the composer');
  await noWiderThanTheScreen(page);
  await app.send('What is this?');
  await expect(note).toHaveCount(0);
  await halt(page.getByRole('button', { name: app.t('compose.stop') }));
  await app.answered();

  await page.reload();
  const question = page.locator('article').first();
  for (const [name, width] of [['sawah pagi.png', 1600], ['padi.jpg', 20]] as const) {
    await expect.poll(() => drawn(question.getByAltText(name))).toBe(width);
  }
  const { messages } = await app.call<{ messages: { attachments: { mime: string; width: number }[] }[] }>('GET', `/chats/${id}`);
  expect(messages[0]?.attachments.map((file) => [file.mime, file.width])).toEqual([['image/png', 1600], ['image/png', 20]]);
  await accessible(page, 'a message with pictures');
  await noWiderThanTheScreen(page);

  const enlarge = question.getByRole('button', { name: app.t('picture.enlarge', { name: 'sawah pagi.png' }) });
  const dialog = page.getByRole('dialog', { name: 'sawah pagi.png' });
  await enlarge.click();
  await expect(dialog).toBeVisible();
  await expect.poll(() => drawn(dialog.getByAltText('sawah pagi.png'))).toBe(1600);
  const screen = page.viewportSize() ?? { width: 0, height: 0 };
  const small = (await question.getByAltText('sawah pagi.png').boundingBox()) ?? screen;
  const large = await dialog.getByAltText('sawah pagi.png').boundingBox();
  expect(large?.width).toBeGreaterThan(Math.min(small.width, screen.width * 0.8));
  expect((large?.x ?? -1) >= 0 && (large?.x ?? 0) + (large?.width ?? 0) <= screen.width, JSON.stringify(large)).toBe(true);
  expect((large?.y ?? -1) >= 0 && (large?.y ?? 0) + (large?.height ?? 0) <= screen.height, JSON.stringify(large)).toBe(true);
  // As it is: neither pressed flat nor drawn out.
  expect((large?.width ?? 0) / (large?.height ?? 1)).toBeCloseTo(1.6, 1);
  await accessible(page, 'an enlarged picture');
  await page.keyboard.press('Escape');
  await expect(dialog).toHaveCount(0);
  await expect(enlarge).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(dialog).toBeVisible();
  const loading = page.waitForEvent('download');
  await dialog.getByRole('link', { name: app.t('picture.save', { name: 'sawah pagi.png' }) }).click();
  expect((await loading).suggestedFilename()).toBe('sawah pagi.png');
  await dialog.getByRole('button', { name: app.t('app.close') }).click();
  await expect(dialog).toHaveCount(0);
  await expect(enlarge).toBeFocused();
  // One that is a hundred times as high as it is wide fits too.
  await question.getByRole('button', { name: app.t('picture.enlarge', { name: 'padi.jpg' }) }).click();
  const long = await page.getByRole('dialog').getByAltText('padi.jpg').boundingBox();
  expect((long?.y ?? 0) + (long?.height ?? 0), JSON.stringify(long)).toBeLessThanOrEqual(screen.height);
  await page.keyboard.press('Escape');

  // Asked otherwise, it is about the same pictures.
  await question.hover();
  await question.getByRole('button', { name: app.t('message.edit') }).click();
  await question.getByLabel(app.t('message.edit_label')).fill('And what is that?');
  await question.getByRole('button', { name: app.t('message.edit_send') }).click();
  await halt(page.getByRole('button', { name: app.t('compose.stop') }));
  await app.answered();
  await expect(question).toContainText('And what is that?');
  await expect.poll(() => drawn(question.getByAltText('padi.jpg'))).toBe(20);
});

test('pictures are pasted and dropped', async ({ page, app }) => {
  await app.shortChat(8);
  const field = page.getByLabel(app.t('compose.label'), { exact: true });
  const give = (kind: 'paste' | 'drop', name: string) =>
    field.evaluate(
      (element, [kind, name, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name, { type: 'image/png' }));
        const how = { bubbles: true, cancelable: true };
        element.dispatchEvent(kind === 'paste' ? new ClipboardEvent('paste', { ...how, clipboardData: data }) : new DragEvent('drop', { ...how, dataTransfer: data }));
      },
      [kind, name, png(64, 64).toString('base64')] as const
    );
  await give('paste', 'image.png');
  await give('drop', 'seret.png');
  const list = page.getByRole('list', { name: app.t('compose.attachments') });
  for (const name of ['image.png', 'seret.png']) await expect.poll(() => drawn(list.getByAltText(name))).toBe(64);
  // A picture alone is a message.
  await list.getByRole('button', { name: app.t('compose.remove', { name: 'seret.png' }) }).click();
  await page.getByRole('button', { name: app.t('compose.send') }).click();
  await expect.poll(() => drawn(page.locator('article').first().getByAltText('image.png'))).toBe(64);
  await halt(page.getByRole('button', { name: app.t('compose.stop') }));
  await app.answered();
});

test('what is kept of a picture looks as it did, turned as its camera was held', async ({ page, app }) => {
  await app.shortChat(8);
  const seen = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(48, 32);
    const pen = canvas.getContext('2d');
    if (!pen) throw new Error('no canvas');
    const light = pen.createLinearGradient(0, 0, 48, 32);
    light.addColorStop(0, '#c33');
    light.addColorStop(1, 'rgba(0, 80, 200, 0.4)');
    pen.fillStyle = light;
    pen.fillRect(0, 0, 48, 32);
    const bytes = async (blob: Blob) => new Uint8Array(await blob.arrayBuffer());
    const drawn = async (blob: Blob) => {
      const image = await createImageBitmap(blob);
      const there = new OffscreenCanvas(image.width, image.height).getContext('2d');
      there?.drawImage(image, 0, 0);
      return `${image.width} x ${image.height}: ${String(there?.getImageData(0, 0, image.width, image.height).data)}`;
    };
    const jpeg = await bytes(await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 }));
    // Held sideways, at a place.
    const place = new TextEncoder().encode('6.2088 S, 106.8456 E');
    const exif = [0x45, 0x78, 0x69, 0x66, 0, 0, 0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, ...place];
    const told = new Uint8Array([0xff, 0xd8, 0xff, 0xe1, 0, exif.length + 2, ...exif, ...jpeg.slice(2), ...place]);
    // A GIF of two frames of one pixel, with a comment.
    const gif = [...new TextEncoder().encode('GIF89a'), 1, 0, 1, 0, 0x80, 0, 0, 200, 30, 40, 9, 9, 9, 0x21, 0xfe, place.length, ...place, 0];
    for (let frame = 0; frame < 2; frame += 1) gif.push(0x21, 0xf9, 4, 0, 10, 0, 0, 0, 0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0);
    const files: [string, Blob][] = [
      ['a.jpg', new Blob([told], { type: 'image/jpeg' })],
      ['a.png', await canvas.convertToBlob({ type: 'image/png' })],
      // With its transparency in a chunk of its own, and without loss.
      ['a.webp', await canvas.convertToBlob({ type: 'image/webp', quality: 0.8 })],
      ['b.webp', await canvas.convertToBlob({ type: 'image/webp', quality: 1 })],
      ['a.gif', new Blob([new Uint8Array([...gif, 0x3b])], { type: 'image/gif' })]
    ];
    const results = [];
    for (const [name, file] of files) {
      const made = await fetch(`/api/attachments?name=${name}`, { method: 'POST', headers: { 'x-terang': '1' }, body: file });
      const { id, mime, width, height } = (await made.json()) as { id: string; mime: string; width: number; height: number };
      const back = await (await fetch(`/api/attachments/${id}`)).blob();
      results.push({
        name,
        mime: mime === file.type && back.type === file.type,
        telling: new TextDecoder('latin1').decode(await bytes(back)).includes('106.8456'),
        size: `${width} x ${height}`,
        same: (await drawn(back)) === (await drawn(file)) && (await drawn(back)).startsWith(`${width} x ${height}:`)
      });
    }
    return results;
  });
  const fine = { mime: true, telling: false, same: true };
  expect(seen).toEqual([
    { name: 'a.jpg', size: '32 x 48', ...fine },
    { name: 'a.png', size: '48 x 32', ...fine },
    { name: 'a.webp', size: '48 x 32', ...fine },
    { name: 'b.webp', size: '48 x 32', ...fine },
    { name: 'a.gif', size: '1 x 1', ...fine }
  ]);
});

test('what is no picture that can be shown is refused by its name, and why', async ({ page, app }) => {
  await app.shortChat(8);
  const whole = png(8, 8);
  const wrong = [
    ['logo.svg', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'knowledge.why.picture_unsupported'],
    ['besar.png', png(20_000, 1), 'knowledge.why.picture_too_many_pixels'],
    ['putus.png', whole.subarray(0, whole.length - 20), 'knowledge.why.picture_damaged'],
    ['berat.png', Buffer.concat([whole, Buffer.alloc(10 * 1024 * 1024)]), 'knowledge.why.picture_too_large']
  ] as const;
  for (const [name, buffer, why] of wrong) {
    await page.locator('form input[type=file]').setInputFiles({ name, mimeType: 'image/png', buffer });
    await expect(page.getByRole('alert').filter({ hasText: `${name}: ${app.t(why)}` })).toBeVisible();
  }
  await expect(page.getByRole('list', { name: app.t('compose.attachments') })).toHaveCount(0);
});
