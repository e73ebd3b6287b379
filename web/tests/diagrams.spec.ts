/** Diagrams: drawn in a frame that has no origin and no network, whatever their source says. */
import type { Page } from '@playwright/test';
import { DIAGRAM_ATTACKS } from '../src/lib/markdown/corpus';
import { exported } from './exported';
import { expect, test, type App } from './fixtures';

const fenced = (source: string) => `Look:\n\n\`\`\`mermaid\n${source}\n\`\`\`\n`;

async function opened(page: Page, app: App, url: string, title: string, turns: string[]): Promise<void> {
  await app.call('POST', '/import', [exported(title, turns)]);
  await page.goto(url);
  await app.sidebar();
  await page.getByRole('navigation').getByRole('link', { name: title }).first().click();
  await expect(page.locator('article').last()).toBeVisible();
}

test('a diagram is drawn when it is seen, and its source is one press away', async ({ page, app, server }) => {
  const asked: string[] = [];
  page.on('request', (request) => {
    if (new URL(request.url()).pathname.startsWith('/diagram/')) asked.push(request.url());
  });
  await opened(page, app, server.url, 'A plain chat', ['Hello', 'No diagram here.']);
  expect(asked).toEqual([]);
  await opened(page, app, server.url, 'A diagram', ['Draw', fenced('graph LR\n  Sawah --> Beras\n  Beras --> Nasi')]);
  const frame = page.locator('article iframe');
  await expect(frame).toHaveAttribute('sandbox', 'allow-scripts');
  await expect(page.frameLocator('article iframe').locator('svg').getByText('Beras')).toBeVisible();
  expect(asked.length).toBe(2);
  const height = () => frame.evaluate((element) => element.getBoundingClientRect().height);
  await expect.poll(height).toBeGreaterThan(30);

  // The frame has no origin, and so no way to the page or to what the page keeps.
  const inner = page.frames().find((other) => other.url().includes('/diagram/'));
  const reach = await inner?.evaluate(() => {
    const failed = (what: () => unknown) => {
      try {
        return String(what());
      } catch (error) {
        return (error as Error).name;
      }
    };
    return [self.origin, failed(() => parent.document.title), failed(() => localStorage.length), failed(() => document.cookie)];
  });
  expect(reach).toEqual(['null', 'SecurityError', 'SecurityError', 'SecurityError']);

  await page.getByRole('button', { name: app.t('diagram.source') }).click();
  await expect(page.getByText('Sawah --> Beras')).toBeVisible();
  await page.getByRole('button', { name: app.t('diagram.source') }).click();
  await page.emulateMedia({ colorScheme: 'dark' });
  await expect.poll(() => inner?.evaluate(() => document.documentElement.style.colorScheme)).toBe('dark');
});

test('what cannot be drawn is shown as its source, with the reason', async ({ page, app, server }) => {
  const long = `graph LR\n${'  A --> B\n'.repeat(4000)}`;
  await opened(page, app, server.url, 'Broken diagrams', ['Draw', `${fenced('graph LR\n  A ---')}\n\n${fenced(long)}\n\n${fenced('nonsense')}`]);
  const failed = page.getByRole('note').filter({ hasText: app.t('diagram.failed', { why: '' }).trim() });
  await page.locator('article').last().evaluate((article) => article.scrollIntoView());
  await expect(failed.first()).toBeVisible();
  await expect(page.locator('article').getByText('A ---').first()).toBeVisible();
  await expect(page.getByRole('note').filter({ hasText: app.t('diagram.large', { limit: 20_000 }).slice(0, 30) })).toHaveCount(1);
});

test('a frame that does not answer is taken away', async ({ page, app, server }) => {
  await page.route('**/diagram/immutable/*', (route) => route.fulfill({ contentType: 'text/javascript', body: 'parent.postMessage({ kind: "ready" }, "*"); for (;;);' }));
  await opened(page, app, server.url, 'A slow diagram', ['Draw', fenced('graph LR\n  A --> B')]);
  await expect(page.getByRole('note').filter({ hasText: app.t('diagram.slow') })).toBeVisible({ timeout: 60_000 });
  await expect(page.locator('article iframe')).toHaveCount(0);
  await expect(page.locator('article').getByText('A --> B')).toBeVisible();
});

test('no hostile diagram runs, loads or leads anywhere', async ({ page, app, server, context }) => {
  test.slow();
  // What Mermaid puts into its frame while it measures is stopped by the frame's policy, which the
  // browser tells in its console; what counts is that nothing runs and nothing leaves.
  const left: string[] = [];
  await context.route(/attacker\.example/, (route) => {
    left.push(route.request().url());
    return route.abort();
  });
  const opened_pages: string[] = [];
  context.on('page', (other) => opened_pages.push(other.url()));
  let drawn = 0;
  // A few at a time: each is a frame with Mermaid in it.
  for (let from = 0; from < DIAGRAM_ATTACKS.length; from += 6) {
    const some = DIAGRAM_ATTACKS.slice(from, from + 6);
    const title = `Diagrams from ${from}`;
    await opened(page, app, server.url, title, some.flatMap((source, index) => [`Attack ${from + index}`, fenced(source)]));
    const address = page.url();
    for (let index = 0; index < some.length; index += 1) {
      const article = page.locator('article').nth(index * 2 + 1);
      await article.scrollIntoViewIfNeeded();
      // It is drawn, or refused with a reason.
      await expect(article.getByRole('note').or(article.getByText(app.t('diagram.title'), { exact: true })).first()).toBeVisible({ timeout: 40_000 });
      const frame = await (await article.locator('iframe').elementHandles()).at(0)?.contentFrame();
      if (!frame) continue;
      drawn += 1;
      const found = await frame.evaluate(() => {
        const bad = [...document.querySelectorAll('body script, iframe, object, embed, image, img, foreignObject script, a[href], body [onclick], body [onload], body [onerror]')]
          .filter((element) => element !== document.scripts[0])
          .map((element) => element.outerHTML.slice(0, 200));
        // Whatever is there is pressed.
        for (const element of document.querySelectorAll('svg, svg *')) element.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }));
        const styles = [...document.querySelectorAll('style')].map((style) => style.textContent ?? '').join('\n');
        if (/attacker|@import/.test(styles)) bad.push(styles.slice(0, 200));
        return { bad, fired: (window as unknown as { __fired?: number }).__fired, polluted: ({} as { polluted?: number }).polluted };
      });
      expect(found, some[index]).toEqual({ bad: [], fired: undefined, polluted: undefined });
    }
    await page.waitForTimeout(200);
    expect(page.url()).toBe(address);
    for (const frame of page.frames()) expect(frame.url().startsWith(server.url)).toBe(true);
    expect(await page.evaluate(() => (window as unknown as { __fired?: number }).__fired)).toBeUndefined();
  }
  expect(opened_pages).toEqual([]);
  expect(left).toEqual([]);
  const stopped = /Content Security Policy|^request: https:\/\/attacker\.example/;
  app.wrong.splice(0, app.wrong.length, ...app.wrong.filter((text) => !stopped.test(text)));
  // Most are diagrams in earnest: the test would say nothing if all were refused.
  expect(drawn).toBeGreaterThan(DIAGRAM_ATTACKS.length / 2);
});

test('the frame may do nothing but draw, also when it is opened by itself', async ({ page, server, request }) => {
  const response = await request.get(`${server.url}/diagram/frame.html`);
  expect(response.headers()['content-security-policy']).toBe(
    "sandbox allow-scripts; default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
  );
  await page.goto(`${server.url}/diagram/frame.html`);
  expect(await page.evaluate(() => self.origin)).toBe('null');
  const reached = await page.evaluate(async (url) => {
    try {
      await fetch(url);
      return 'reached';
    } catch {
      return 'refused';
    }
  }, `${server.url}/api/me`);
  expect(reached).toBe('refused');
});
