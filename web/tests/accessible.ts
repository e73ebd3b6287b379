/** What axe-core finds on a page: nothing, or the test fails with where and why. */
import AxeBuilder from '@axe-core/playwright';
import { expect, type Page } from '@playwright/test';

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

export async function accessible(page: Page, name: string, allowed: string[] = []): Promise<void> {
  // A page that is still being drawn has no heading yet.
  await expect(page.locator('main').first()).toBeAttached();
  await expect(page.locator('h1').first()).toBeAttached();
  const { violations } = await new AxeBuilder({ page }).withTags(TAGS).disableRules(allowed).analyze();
  const told = violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`);
  expect(told, name).toEqual([]);
}
