/**
 * What a first load and the opening of a chat cost on a processor that is four times as slow, as
 * Lighthouse counts: bytes over the line, largest contentful paint, long tasks (what is above 50 ms of
 * them), and the time after which the page answers at once. Printed, with bounds that only a blunder
 * crosses: machines differ.
 */
import { expect, test, type CDPSession, type Page } from '@playwright/test';
import { exported } from '../tests/exported';
import { Server } from '../tests/server';

const SLOWER = 4;
/** A page that has had no long task for so long answers at once. */
const QUIET_MS = 3_000;
const ROUNDS = 3;

type Figures = { script_kb: number; style_kb: number; other_kb: number; fcp_ms: number; lcp_ms: number; interactive_ms: number; long_tasks: number; blocked_ms: number };

async function measured(page: Page, cdp: CDPSession, act: () => Promise<void>, fresh: boolean): Promise<Figures> {
  const kinds = new Map<string, string>();
  const bytes: Record<string, number> = {};
  const responded = ({ requestId, type }: { requestId: string; type: string }) => void kinds.set(requestId, type);
  const finished = ({ requestId, encodedDataLength }: { requestId: string; encodedDataLength: number }) => {
    const kind = kinds.get(requestId) ?? 'Other';
    bytes[kind] = (bytes[kind] ?? 0) + encodedDataLength;
  };
  cdp.on('Network.responseReceived', responded);
  cdp.on('Network.loadingFinished', finished);
  const from = fresh ? 0 : await page.evaluate(() => performance.now());
  await act();
  const times = await page.evaluate(
    async ([since, quiet]) => {
      const tasks: { start: number; end: number }[] = [];
      let lcp = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) tasks.push({ start: entry.startTime, end: entry.startTime + entry.duration });
      }).observe({ type: 'longtask', buffered: true });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) lcp = entry.startTime;
      }).observe({ type: 'largest-contentful-paint', buffered: true });
      const idle = () => Math.max(since ?? 0, ...tasks.map((task) => task.end));
      do await new Promise((wait) => setTimeout(wait, 200));
      while (performance.now() - idle() < (quiet ?? 0));
      const fcp = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0;
      const own = tasks.filter((task) => task.end > (since ?? 0));
      return {
        fcp_ms: fcp,
        lcp_ms: lcp,
        interactive_ms: Math.max(since === 0 ? fcp : (since ?? 0), ...own.map((task) => task.end)) - (since ?? 0),
        long_tasks: own.length,
        blocked_ms: own.reduce((sum, task) => sum + Math.max(0, task.end - task.start - 50), 0)
      };
    },
    [from, QUIET_MS] as const
  );
  cdp.off('Network.responseReceived', responded);
  cdp.off('Network.loadingFinished', finished);
  const kb = (kind: string) => (bytes[kind] ?? 0) / 1000;
  const all = Object.values(bytes).reduce((sum, count) => sum + count, 0) / 1000;
  return { ...times, script_kb: kb('Script'), style_kb: kb('Stylesheet'), other_kb: all - kb('Script') - kb('Stylesheet') };
}

const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

function print(title: string, rounds: Figures[], painted: boolean): Figures {
  const of = (name: keyof Figures) => median(rounds.map((round) => round[name]));
  const figures = Object.fromEntries((Object.keys(rounds[0] ?? {}) as (keyof Figures)[]).map((name) => [name, of(name)])) as Figures;
  const paint = painted ? `first paint ${figures.fcp_ms.toFixed(0)} ms, largest paint ${figures.lcp_ms.toFixed(0)} ms, ` : '';
  console.log(
    `${title}: ${figures.script_kb.toFixed(1)} kB script, ${figures.style_kb.toFixed(1)} kB style, ${figures.other_kb.toFixed(1)} kB other; ` +
      `${paint}answers at once after ${figures.interactive_ms.toFixed(0)} ms, ${figures.long_tasks} long tasks that block ${figures.blocked_ms.toFixed(0)} ms`
  );
  return figures;
}

test('figures', async ({ browser }) => {
  test.setTimeout(600_000);
  const server = await Server.start();
  try {
    const code = '```rust\nfn main() {\n    println!("hello");\n}\n```';
    const turns = Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? `Question ${index}?` : `Answer ${index} with **weight**, a list\n\n- one\n- two\n\n${code}\n\n| a | b |\n| - | - |\n| 1 | 2 |\n`));
    const response = await fetch(`${server.url}/api/import`, { method: 'POST', headers: { 'x-terang': '1', 'content-type': 'application/json' }, body: JSON.stringify([exported('Sixty messages', turns)]) });
    expect(response.ok).toBe(true);
    const first: Figures[] = [];
    const opened: Figures[] = [];
    const direct: Figures[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const context = await browser.newContext({ serviceWorkers: 'block', viewport: { width: 1280, height: 800 } });
      const page = await context.newPage();
      const cdp = await context.newCDPSession(page);
      await cdp.send('Network.enable');
      await cdp.send('Emulation.setCPUThrottlingRate', { rate: SLOWER });
      const field = page.locator('#composer');
      first.push(
        await measured(page, cdp, async () => {
          await page.goto(server.url);
          await field.waitFor();
        }, true)
      );
      opened.push(
        await measured(page, cdp, async () => {
          await page.getByRole('navigation').getByRole('link', { name: 'Sixty messages' }).first().click();
          await page.locator('article').last().waitFor();
        }, false)
      );
      const address = page.url();
      await page.goto('about:blank');
      await cdp.send('Network.clearBrowserCache');
      direct.push(
        await measured(page, cdp, async () => {
          await page.goto(address);
          await page.locator('article').last().waitFor();
        }, true)
      );
      await context.close();
    }
    console.log(`medians of ${ROUNDS}, processor slowed ${SLOWER} times:`);
    const load = print('first load', first, true);
    print('a chat of 60 messages opened from it', opened, false);
    print('the same chat opened by its address', direct, true);
    expect(load.script_kb + load.style_kb).toBeLessThan(200);
    expect(load.interactive_ms).toBeLessThan(15_000);
  } finally {
    await server.stop();
  }
});
