/** The pages in a real browser, over a status as Redis would give it. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import type { Health } from '../../src/ops/readiness.ts';
import { startOpsServer } from '../../src/ops/server.ts';
import type { GroupStatus, Status } from '../../src/status/status.ts';
import { startBrowser } from '../support/chromium.ts';

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
}, 300_000);
afterAll(() => browser?.close());

const group = (id: string, over: Partial<GroupStatus> = {}): GroupStatus => ({
  group: id,
  instance: 'bot',
  state: 'fresh',
  linkAgeMs: 3_600_000,
  periodMs: 7_200_000,
  revision: 1,
  nextRotationAt: '2026-01-05T13:00:00.000Z',
  lastError: null,
  unreadable: 0,
  drifted: false,
  ...over,
});
const healthy: Status = {
  at: '2026-01-05T12:00:00.000Z',
  lastTickAgeMs: 2_000,
  groups: [group('vip')],
  instances: [
    {
      instance: 'bot',
      budget: { used: 40, limit: 100, foreign: 5 },
      gate: null,
      queue: { waiting: 3, active: 2, delayed: 1 },
    },
  ],
  outbox: { 'invite-links': 0 },
  results: { 'invite-links': 7 },
};
const well: Health = { stopping: false, redisWriteAgeMs: 100, tickAgeMs: 2_000, stuck: [], configBroken: false };

async function serve(read: () => Promise<Status>, health = well) {
  const server = await startOpsServer({
    host: '127.0.0.1',
    port: 0,
    metrics: createMetrics('1.2.3'),
    health: () => health,
    status: read,
    log: createLog({ level: 'silent', to: process.stderr }),
  });
  onTestFinished(() => server.close());
  return server.url;
}

async function open(
  url: string,
  options: Parameters<Browser['newPage']>[0] = {},
): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage(options);
  onTestFinished(() => page.close());
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(url);
  return { page, complaints };
}

it('says that nothing needs anybody, and shows instances and groups', async () => {
  const { page, complaints } = await open(await serve(async () => healthy));
  expect(await page.title()).toBe('invite-rotator');
  expect(await page.locator('#attention').textContent()).toBe('Nothing needs you.');
  expect(await page.locator('#instances tr').nth(1).locator('td').allTextContents()).toEqual([
    'bot',
    ' 40 of 100 (5 by others)',
    '3 waiting, 2 active, 1 delayed',
    'open',
  ]);
  const cells = await page.locator('#groups tr').nth(1).locator('td').allTextContents();
  expect(cells.map((cell) => cell.trim())).toEqual(['vip', 'fresh', '1h', 'in 1h', '']);
  const bar = page.locator('#groups .bar');
  const [outer, inner] = [await bar.boundingBox(), await bar.locator('span').boundingBox()];
  expect(inner!.width / outer!.width).toBeCloseTo(0.5, 1);
  expect(complaints).toEqual([]);
});

it('begins with what needs a person, and lets no markup through', async () => {
  const evil = '<img src=x onerror="console.log(1)">';
  const failing = group(`bad${evil}`, {
    state: 'failing',
    lastError: { code: 'not_admin', message: evil, at: healthy.at },
  });
  const gate = { reason: 'unauthorized', opensInMs: 30_000 };
  const status = {
    ...healthy,
    groups: [failing],
    instances: [{ ...healthy.instances[0]!, gate }],
    outbox: { links: 2 },
  };
  const { page, complaints } = await open(
    await serve(async () => status, { ...well, tickAgeMs: null, configBroken: true }),
  );
  expect(await page.title()).toBe('Not ready: invite-rotator');
  expect(await page.locator('#attention li').allTextContents()).toEqual([
    'Not ready: ticks',
    'The edited configuration is broken (config_broken): the last good one is in force',
    'bot is left alone: unauthorized',
    `bad${evil}: not_admin: ${evil}`,
    '2 events wait to be published to links',
  ]);
  expect(await page.locator('img').count()).toBe(0);
  expect(complaints).toEqual([]);
});

it('stays usable with thousands of groups: paged, and searched', async () => {
  const groups = Array.from({ length: 3_000 }, (_, i) => group(`group-${String(i).padStart(4, '0')}`));
  const url = await serve(async () => ({ ...healthy, groups }));
  const { page } = await open(url, { viewport: { width: 380, height: 700 } });
  expect(await page.locator('#groups tr').count()).toBe(101);
  await page.getByRole('link', { name: 'next' }).click();
  await page.waitForURL(/page=2/);
  expect(await page.locator('#groups td').first().textContent()).toBe('group-0100');
  await page.getByRole('searchbox').fill('group-29');
  await page.keyboard.press('Enter');
  await page.waitForURL(/q=group-29/);
  expect(await page.locator('#groups td').first().textContent()).toBe('group-2900');
  expect(await page.locator('.note').last().textContent()).toContain('100 of 3000 groups');
  // A phone scrolls tables, not the page.
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
});

it('refreshes itself, and follows the colours of its reader', async () => {
  let reads = 0;
  const url = await serve(async () => ({ ...healthy, groups: [group(`read-${++reads}`)] }));
  const { page } = await open(url, { colorScheme: 'dark' });
  expect(await page.locator('meta[http-equiv=refresh]').getAttribute('content')).toBe('10');
  const background = await page.evaluate('getComputedStyle(document.documentElement).colorScheme');
  expect(background).toContain('dark');
  await page.waitForTimeout(2_100);
  await page.reload();
  expect(await page.locator('#groups td').first().textContent()).toBe('read-2');
});

it('says so when Redis cannot be read, and still serves what needs none', async () => {
  const url = await serve(() => Promise.reject(new Error('gone')), { ...well, redisWriteAgeMs: 60_000 });
  const [page, json, ready, alive, metrics] = await Promise.all(
    ['/', '/api/status', '/readyz', '/healthz', '/metrics'].map((path) => fetch(url + path)),
  );
  expect([page!.status, json!.status, ready!.status, alive!.status, metrics!.status]).toEqual([
    503, 503, 503, 200, 200,
  ]);
  expect(await ready!.json()).toEqual({ ready: false, reasons: ['redis'], details: [] });
  expect(await metrics!.text()).toContain('invite_rotator_build_info');
});

it('answers nothing but reads of what there is', async () => {
  const url = await serve(async () => healthy);
  expect((await fetch(`${url}/nothing`)).status).toBe(404);
  expect((await fetch(`${url}/api/status`, { method: 'POST' })).status).toBe(404);
  expect((await fetch(url)).headers.get('content-security-policy')).toContain("default-src 'none'");
});
