/** The pages in a real browser, with a sample status. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PNG } from 'pngjs';
import { expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { cellsOf, open, serve, textsOf, useBrowser } from './pageRig.ts';
import { badDay, detail, group, healthy, instance, well, worker } from './samples.ts';

useBrowser();

it('says that nothing needs attention, and shows instances and groups', async () => {
  const { url } = await serve(async () => healthy);
  const { page, complaints } = await open(url);
  expect(await page.title()).toBe('invite-rotator');
  expect(await page.locator('#attention').textContent()).toBe('Nothing needs attention.');
  expect(await page.locator('#states').textContent()).toBe('1 fresh');
  expect(await page.locator('main').textContent()).toContain('invite-links: 7 events not consumed yet.');
  expect(await cellsOf(page, '#instances', 1)).toEqual([
    'bot',
    '40 of 100 used (5 by others)',
    '3 waiting, 2 active, 1 delayed',
    'running',
    'host-1 (pid 12), host-2 (pid 7)',
  ]);
  expect(await cellsOf(page, '#groups', 1)).toEqual(['vip', 'bot', 'fresh', '1h', 'in 1h', 'rotated on schedule', '']);
  const bar = page.locator('#groups .bar');
  const [outer, inner] = [await bar.boundingBox(), await bar.locator('span').boundingBox()];
  expect(inner!.width / outer!.width).toBeCloseTo(0.5, 1);
  expect(await bar.getAttribute('aria-label')).toBe('50 % of its period');
  expect(complaints).toEqual([]);
});

it('shows problems first, and lets no markup through', async () => {
  const evil = '<img src=x onerror="console.log(1)">';
  const lastError = {
    code: 'not_admin',
    message: evil,
    at: '2026-01-05T11:55:00.000Z',
    since: '2026-01-05T09:55:00.000Z',
    count: 3,
  };
  const status = {
    ...healthy,
    groups: [group(`bad${evil}`, { state: 'failing', lastError })],
    instances: [instance('bot', { gate: { reason: 'unauthorized', opensInMs: 30_000, closedForMs: 90_000 } })],
    outbox: { links: 2 },
  };
  const { url } = await serve(async () => status, { health: { ...well, tickAgeMs: 25_000, configBroken: true } });
  const { page, complaints } = await open(`${url}?q=${encodeURIComponent('"><script>console.log(2)</script>')}`);
  expect(await page.title()).toBe('Not ready: invite-rotator');
  expect(await textsOf(page, '#attention li')).toEqual([
    'Not ready (ticks) The planner last ran 25s ago, so scheduled rotations wait; if its queue is not paused, restart a worker.',
    'The edited configuration file is invalid (config_broken) The last valid one stays in force; `invite-rotator check` lists the mistakes.',
    'bot is paused (unauthorized) Since Jan 5, 2026, 11:58 AM (1m 30s) · 4 jobs wait Give it a token that RyzeAPI accepts. show its groups',
    `1 group is failing (not_admin) Since Jan 5, 2026, 9:55 AM (2h 5m) Make its instance's phone an admin of the group, then rotate it. bad${evil}`,
    'links: 2 events not published yet If this lasts, the log says why (publish.failed).',
  ]);
  expect(await page.getByRole('searchbox').inputValue()).toBe('"><script>console.log(2)</script>');
  await page.goto(url);
  expect(await cellsOf(page, '#groups', 1)).toEqual([
    `bad${evil}`,
    'bot',
    'failing',
    '1h',
    'in 1h',
    'failed',
    `not_admin 3 times in a row, last 5m ago: ${evil}`,
  ]);
  expect(await page.locator('img').count()).toBe(0);
  expect(await page.locator('script').count()).toBe(1);
  expect(complaints).toEqual([]);
});

it('names the live workers, and says which configuration file each has in force', async () => {
  const config = { hash: 'ba9876543210', since: '2026-01-05T11:59:00.000Z' };
  const other = worker('host-2', { config, serves: null });
  const { url } = await serve(() => Promise.resolve({ ...healthy, workers: [worker('host-1'), other] }));
  const { page } = await open(url, { timezoneId: 'UTC', locale: 'en-GB' });
  const rows = await Promise.all([1, 2].map((row) => cellsOf(page, '#workers', row)));
  const differs = '; another worker has a different file';
  expect(rows).toEqual([
    ['host-1 (process 12)', '1.2.3', '2 instances', '3d 4h', `0123456789ab in force since 4 Jan 2026, 18:30${differs}`],
    ['host-2 (process 12)', '1.2.3', '-', '3d 4h', `ba9876543210 in force since 5 Jan 2026, 11:59${differs}`],
  ]);
  expect(await page.locator('#attention').textContent()).toBe('Nothing needs attention.');
});

it('shows no bar without a schedule, and says why each link was published', async () => {
  const groups = [
    group('archive', { state: 'disabled', periodMs: null, nextRotationAt: null }),
    group('mine', { linkBy: 'request' }),
    group('new', { state: 'new', linkAgeMs: null, periodMs: null, linkBy: null }),
    group('theirs', { linkBy: 'drift', unverified: 3 }),
    group('first', { linkBy: 'adopted', unverified: 1 }),
  ];
  const { url } = await serve(async () => ({ ...healthy, groups }));
  const { page } = await open(url);
  const rows = await Promise.all([1, 2, 3, 4, 5].map((row) => cellsOf(page, '#groups', row)));
  expect(rows.map((cells) => [cells[0], ...cells.slice(3)])).toEqual([
    ['archive', '1h', '-', 'rotated on schedule', ''],
    ['mine', '1h', 'in 1h', 'rotated on request', ''],
    ['new', '-', 'in 1h', '-', ''],
    ['theirs', '1h', 'in 1h', 'changed by someone else', 'link could not be verified 3 times in a row'],
    ['first', '1h', 'in 1h', 'read for the first time', 'link could not be verified once'],
  ]);
  expect(await page.locator('#groups .bar').count()).toBe(3);
});

it('stays usable with thousands of groups: paged, and searched by name, instance and state', async () => {
  const groups = Array.from({ length: 3_000 }, (_, i) => group(`group-${String(i).padStart(4, '0')}`)).concat(
    group('late', { state: 'overdue' }),
  );
  const { url } = await serve(async () => ({ ...healthy, groups }));
  const { page } = await open(url, { viewport: { width: 380, height: 700 } });
  expect(await page.locator('#states').textContent()).toBe('1 overdue3000 fresh');
  expect(await page.locator('#groups tr').count()).toBe(101);
  await page.getByRole('link', { name: 'next' }).click();
  await page.waitForURL(/page=2/);
  expect(await cellsOf(page, '#groups', 1)).toContain('group-0100');
  await page.getByRole('searchbox').fill('group-29');
  await page.keyboard.press('Enter');
  await page.waitForURL(/q=group-29/);
  expect(await cellsOf(page, '#groups', 1)).toContain('group-2900');
  expect(await page.locator('#found').textContent()).toContain('100 of 3001 groups');
  await page.goto(`${url}?q=OverDue`);
  expect(await page.locator('#found').textContent()).toContain('1 of 3001 groups');
  // No horizontal scrolling on a phone.
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
});

it('refreshes without disturbing a reader who types, and says when it can no longer refresh', async () => {
  let state: 'fresh' | 'overdue' = 'fresh';
  const server = await serve(async () => ({ ...healthy, groups: [group('vip', { state })] }));
  const { page } = await open(server.url, { clock: true });
  await page.getByRole('searchbox').fill('half a wo');
  state = 'overdue';
  // The server shares one reading for two seconds.
  await until('the page to show the newest', async () => {
    await page.clock.runFor(10_000);
    return (await page.locator('#states').textContent()) === '1 overdue';
  });
  expect(await page.getByRole('searchbox').inputValue()).toBe('half a wo');
  expect(await page.locator('#stale').isVisible()).toBe(false);
  await server.close();
  await page.clock.runFor(10_000);
  await page.locator('#stale').waitFor({ state: 'visible' });
  expect(await page.title()).toBe('No answer: invite-rotator');
  expect(await page.locator('#states').textContent()).toBe('1 overdue');
});

it('refreshes itself without scripts too', async () => {
  const { url } = await serve(async () => healthy);
  const { page } = await open(url, { javaScriptEnabled: false });
  expect(await page.locator('meta[http-equiv=refresh]').getAttribute('content')).toBe('10');
  expect(await page.locator('#states').textContent()).toBe('1 fresh');
});

it('says so when Redis cannot be read, and still serves what does not need Redis', async () => {
  const { url } = await serve(() => Promise.reject(new Error('gone')), {
    health: { ...well, redisWriteAgeMs: 60_000 },
  });
  const [shown, json, ready, alive, metrics] = await Promise.all(
    ['/', '/api/status', '/readyz', '/healthz', '/metrics'].map((path) => fetch(url + path)),
  );
  expect([shown!.status, json!.status, ready!.status, alive!.status, metrics!.status]).toEqual([
    503, 503, 503, 200, 200,
  ]);
  expect(await ready!.json()).toEqual({ ready: false, reasons: ['redis'], details: [], paused: [] });
  expect(await metrics!.text()).toMatch(/^invite_rotator_ready 0\n.*^invite_rotator_unready{reason="redis"} 1\n/ms);
  const { page } = await open(url);
  expect(await page.title()).toBe('Not ready: invite-rotator');
  expect(await textsOf(page, '#attention li')).toEqual([
    'Not ready (redis) The last write to Redis succeeded 1m ago; check that Redis is reachable, writable and not full.',
  ]);
});

it('answers GET requests for known paths only', async () => {
  const { url } = await serve(async () => healthy);
  expect((await fetch(`${url}/nothing`)).status).toBe(404);
  expect((await fetch(`${url}/api/status`, { method: 'POST' })).status).toBe(404);
  expect((await fetch(url)).headers.get('content-security-policy')).toContain("default-src 'none'");
});

/** `npm run screenshots` puts these into docs/. */
const pictures = [
  ['status-page', '/', { viewport: { width: 1_100, height: 860 }, colorScheme: 'light' }],
  ['status-page-phone', '/', { viewport: { width: 390, height: 860 }, colorScheme: 'dark' }],
  ['status-page-group', '/groups/course-2026', { viewport: { width: 1_100, height: 860 }, colorScheme: 'light' }],
] as const;
const reader = { locale: 'en-GB', timezoneId: 'America/Sao_Paulo' };
it.each(pictures)('fits its screen in the preferred colour scheme: %s', async (name, path, options) => {
  const status = badDay();
  const failing = status.groups.find(({ group: id }) => id === 'course-2026')!;
  const live = ['2026-01-04T09:00:00.000Z', '2026-01-03T09:00:00.000Z', '2026-01-02T15:30:00.000Z'];
  const asked = { requestedBy: 'ana@web-1', requestReason: 'found on a public site' };
  const shown = detail('course-2026', {
    ...{ ...failing, jid: '120363406289005075@g.us', title: 'Course 2026' },
    ...{ nextAttemptAt: '2026-01-05T12:32:00.000Z', lastResetAt: live[0]!, verifiedAt: '2026-01-05T11:20:00.000Z' },
    history: detail('').history.map((one, i) => ({
      ...{ ...one, revision: Date.parse(live[i]!) + 119, from: live[i]!, until: live[i - 1] ?? null },
      ...(one.reason === 'request' ? asked : {}),
    })),
  });
  const { url } = await serve(() => Promise.resolve(status), { group: () => Promise.resolve(shown) });
  const { page, complaints } = await open(url + path, { ...reader, ...options });
  const picture = await page.screenshot();
  const { width, height, data } = PNG.sync.read(picture);
  expect({ width, height }).toEqual(options.viewport);
  const brightness = (data[0]! + data[1]! + data[2]!) / 3;
  expect(brightness > 128).toBe(options.colorScheme === 'light');
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  expect(complaints).toEqual([]);
  if (process.env.SCREENSHOTS === 'docs') {
    writeFileSync(fileURLToPath(new URL(`../../docs/${name}.png`, import.meta.url)), picture);
  }
});
