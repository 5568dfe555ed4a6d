/** Serves the pages with a sample status, and opens them in one browser for each file of tests. Asserts nothing itself. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { startOpsServer } from '../../src/ops/server.ts';
import type { GroupDetail } from '../../src/status/group.ts';
import { listOf } from '../../src/status/list.ts';
import type { Status } from '../../src/status/status.ts';
import { startBrowser } from '../support/chromium.ts';
import { detail, statusOf, well } from './samples.ts';

let browser: Browser;

export function useBrowser(): void {
  beforeAll(async () => {
    browser = await startBrowser();
  }, 300_000);
  afterAll(() => browser?.close());
}

/** `group`: of one group's page. By default, every group but `nobody` exists. */
export async function serve(
  status: () => Promise<Status>,
  { health = well, group = detailOf }: { health?: typeof well; group?: typeof detailOf } = {},
) {
  const server = await startOpsServer({
    host: '127.0.0.1',
    port: 0,
    metrics: createMetrics('1.2.3'),
    health: () => health,
    status: {
      readAll: async () => statusOf(await status()),
      async read(view, size) {
        const all = statusOf(await status());
        return { ...all, ...listOf(all.groups, view, size) };
      },
    },
    instances: () => [],
    group,
    log: createLog({ level: 'silent', to: process.stderr }),
  });
  onTestFinished(() => server.close());
  return server;
}

const detailOf = (id: string): Promise<GroupDetail | null> => Promise.resolve(id === 'nobody' ? null : detail(id));

type PageOptions = Parameters<Browser['newPage']>[0] & { readonly clock?: boolean };

/** `clock`: the page's timers run only when the test says so. */
export async function open(
  url: string,
  { clock = false, ...options }: PageOptions = {},
): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage(options);
  onTestFinished(() => page.close());
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  if (clock) await page.clock.install();
  await page.goto(url);
  return { page, complaints };
}

export const cellsOf = async (page: Page, table: string, row: number) =>
  (await page.locator(`${table} tr`).nth(row).locator('td').allTextContents()).map((cell) => cell.trim());

/** The texts of the elements, each on one line. */
export const textsOf = async (page: Page, selector: string) =>
  (await page.locator(selector).allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' ').trim());

const tooWide = `[...document.querySelectorAll('body *')]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 && !one.closest('.hidden, .whole, thead'))
  .map((one) => one.outerHTML.slice(0, 120))
  .concat(document.documentElement.scrollWidth > innerWidth ? ['the page'] : [])`;

/** What is wider than the screen, even if it is cut off there. */
export const wide = (page: Page) => page.evaluate<string[]>(tooWide);
