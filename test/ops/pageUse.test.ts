/** How the pages are used, in a real browser: on a phone, by keyboard, with a screen reader, behind a proxy. */
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import type { Status } from '../../src/status/status.ts';
import { until } from '../support/until.ts';
import { open, serve, textsOf, useBrowser, wide } from './pageRig.ts';
import { badDay, detail, group, healthy, instance, worker } from './samples.ts';

useBrowser();

const longId = `a${'-very-long'.repeat(6)}-id`.slice(0, 64);
const error = (code: string) => ({ code, message: 'x'.repeat(190), at: healthy.at, since: healthy.at, count: 2 });

/** Everything is as long as it can be. */
const longNames = (): Status => ({
  ...healthy,
  groups: [
    group(longId, { instance: longId, state: 'failing', lastError: error('instance_disconnected') }),
    group(`${longId.slice(1)}2`, { state: 'duplicate', duplicateOf: longId, title: 'W'.repeat(60) }),
  ],
  instances: [instance(longId, { gate: { reason: 'instance_disconnected', opensInMs: 1, closedForMs: 1 } })],
  paused: [`rotations-${longId}`],
  results: { [longId]: 1 },
  resultsByState: { [longId]: { waiting: 1, active: 1, delayed: 1, failed: 1 } },
  workers: [worker(`${longId}.example.org`)],
});

it('is nowhere wider than a phone, however long the ids are, and breaks none of them', async () => {
  const long = detail(longId, {
    ...{ instance: longId, queues: [longId], lastError: error('not_admin'), duplicateOf: longId, state: 'failing' },
    ...{ schedule: 'cron 0 9 * * MON, 02:00-05:00 mon-fri (America/Argentina/ComodRivadavia)' },
    history: detail('').history.map((one) => ({
      ...one,
      requestedBy: 'w'.repeat(200),
      requestReason: longId.repeat(3),
    })),
  });
  const { url } = await serve(() => Promise.resolve(longNames()), { group: () => Promise.resolve(long) });
  const { page } = await open(url, { viewport: { width: 360, height: 700 } });
  expect(await wide(page)).toEqual([]);
  const lines = `[...document.querySelectorAll('.id')].filter((one) => one.getClientRects().length > 1 || one.offsetHeight > 30).length`;
  expect(await page.evaluate(lines)).toBe(0);
  expect(await page.locator('#groups .id').first().getAttribute('title')).toBe(longId);
  await page.goto(`${url}/groups/${longId}`);
  expect(await wide(page)).toEqual([]);
  expect(await page.evaluate(lines)).toBe(0);
  await page.setViewportSize({ width: 1_100, height: 700 });
  expect(await wide(page)).toEqual([]);
  await page.goto(url);
  for (const width of [1_100, 1_000, 500]) {
    await page.setViewportSize({ width, height: 700 });
    expect(await wide(page), String(width)).toEqual([]);
  }
});

it('keeps focus, selection, scroll position and typed text over a refresh that changes and moves rows', async () => {
  let status: Status = {
    ...healthy,
    groups: Array.from({ length: 60 }, (_, i) => group(`g-${String(i).padStart(2, '0')}`)),
  };
  const { url } = await serve(() => Promise.resolve(status));
  const { page, complaints } = await open(url, { clock: true, viewport: { width: 1_000, height: 600 } });
  const row = page.locator('tr[data-key="g-30"]');
  await row.getByRole('link').focus();
  await row.evaluate((node) => Object.assign(node, { mark: 'kept' }));
  await page.evaluate(`
    const cells = document.querySelector('tr[data-key="g-31"]').cells;
    getSelection().setBaseAndExtent(cells[0].querySelector('a').firstChild, 1, cells[5].querySelector('div').firstChild, 7);
  `);
  const selected = () => page.evaluate<string>('getSelection().toString()');
  const before = await selected();
  expect(before).toMatch(/^-31.*rotated$/s);
  // The last becomes the first, another leaves, and those that are selected and focused change.
  const late = { state: 'overdue', linkAgeMs: 9_000_000 } as const;
  const [first, ...groups] = status.groups;
  const changed = groups
    .slice(0, -1)
    .map((one) => (/3[01]/.test(one.group) ? { ...one, linkBy: 'request' as const } : one));
  status = {
    ...status,
    groups: [{ ...groups.at(-1)!, ...late }, ...changed.toReversed(), first!].filter((one) => one.group !== 'g-07'),
  };
  await page.evaluate('scrollTo(0, 500)');
  await until('the page to show the newest', async () => {
    await page.clock.runFor(10_000);
    return (await page.locator('#found').textContent()) === '59 of 59 groups';
  });
  expect(await row.evaluate((node) => (node as unknown as { mark: string }).mark)).toBe('kept');
  expect(await page.evaluate('document.activeElement.textContent')).toBe('g-30');
  expect(await row.locator('td').nth(5).textContent()).toBe('rotated on request');
  expect(await selected()).toBe(before);
  const shown = await page
    .locator('#groups tbody tr')
    .evaluateAll((rows) => rows.map((one) => one.getAttribute('data-key')));
  expect(shown).toEqual(status.groups.map(({ group: id }) => id));
  expect(await page.evaluate('scrollY')).toBe(500);
  expect(complaints).toEqual([]);
});

it('links each count to its groups, without losing the place, and keeps the view over a refresh', async () => {
  const status = badDay();
  const { url } = await serve(() => Promise.resolve(status));
  const { page, complaints } = await open(url, { clock: true, viewport: { width: 390, height: 700 } });
  const ids = () => textsOf(page, '#groups tbody tr td:first-child a');
  const failing = page.getByRole('link', { name: '2 failing' });
  expect(await failing.getAttribute('href')).toBe('?state=failing');
  await failing.click();
  await page.waitForURL(`${url}/?state=failing`);
  expect(await ids()).toEqual(['course-2026', 'alumni']);
  expect(await textsOf(page, '#found')).toEqual(['2 of 41 groups']);
  expect(await page.evaluate('document.activeElement.textContent')).toBe('2 failing');
  expect(await failing.getAttribute('aria-current')).toBe('true');
  await page.clock.runFor(10_000);
  expect(await ids()).toEqual(['course-2026', 'alumni']);
  await page.locator('#cause-instance-support').getByRole('link', { name: 'show its groups' }).click();
  await page.waitForURL(`${url}/?instance=support`);
  expect(await ids()).toEqual(['course-2026', 'alumni']);
  await page.goBack();
  await page.waitForURL(`${url}/?state=failing`);
  await page.getByRole('link', { name: 'show all' }).click();
  await page.waitForURL(`${url}/?`);
  expect(await ids()).toHaveLength(41);
  expect(complaints).toEqual([]);

  const without = await open(url, { javaScriptEnabled: false });
  await without.page.getByRole('link', { name: '1 overdue' }).click();
  expect(await textsOf(without.page, '#groups tbody tr td:first-child a')).toEqual(['launch']);
  await without.page.getByRole('searchbox').fill('nothing');
  await without.page.keyboard.press('Enter');
  await without.page.waitForURL(`${url}/?state=overdue&q=nothing`);
});

it('searches while somebody types: several words, error codes and JIDs, among ten thousand groups', async () => {
  const many = Array.from({ length: 10_000 }, (_, i) =>
    group(`g-${i}`, { jid: `1203634062890${String(i).padStart(5, '0')}@g.us` }),
  );
  const lastError = error('not_admin');
  const status = {
    ...healthy,
    groups: [group('vip', { instance: 'support', state: 'failing', lastError, title: 'Friends of Ana' }), ...many],
  };
  const { url } = await serve(() => Promise.resolve(status));
  const { page } = await open(`${url}?page=3`);
  const box = page.getByRole('searchbox');
  const found = async (typed: string, count: string) => {
    await box.fill(typed);
    await page.locator('#found', { hasText: new RegExp(`^${count} of 10001 groups`) }).waitFor();
    expect(await box.evaluate((node) => node === node.ownerDocument.activeElement)).toBe(true);
  };
  await found('NOT_admin', '1');
  await found('fresh bot g-99', '111');
  await found('support  fail ana', '1');
  await found('fresh support', '0');
  await found('120363406289004242@g.us', '1');
  expect(await textsOf(page, '#groups tbody tr td:first-child')).toEqual(['g-4242']);
  expect(new URL(page.url()).search).toBe('?q=120363406289004242%40g.us');
  const link = 'chat.whatsapp.com/AbCdEfGhIjKlMnOpQrStUv';
  await found(`https://${link}`, '0');
  expect(await page.locator('main').innerHTML()).not.toContain('AbCdEf');
  expect(await page.locator('main').textContent()).toContain('invite-rotator history LINK');
  await found('', '10001');
});

it('has the roles of tables for screen readers, on a phone too, and announces only what begins or ends', async () => {
  let status = badDay();
  const { url } = await serve(() => Promise.resolve(status));
  const { page } = await open(`${url}?state=failing`, { clock: true, viewport: { width: 360, height: 700 } });
  for (const name of ['Instances', 'Groups', 'Workers']) {
    expect(await page.getByRole('table', { name, exact: true }).count(), name).toBe(1);
  }
  const table = page.getByRole('table', { name: 'Groups', exact: true });
  expect(await table.getByRole('columnheader').allTextContents()).toEqual([
    ...['Group', 'Instance', 'State', 'Link age', 'Next rotation', 'Last outcome', 'Remarks'],
  ]);
  const snapshot = await table.ariaSnapshot();
  for (const part of ['columnheader "Link age"', 'rowheader "course-2026"', 'cell "failing"', 'cell "support"']) {
    expect(snapshot).toContain(part);
  }
  expect(await table.getByRole('row').count()).toBe(3);
  const summary = page.locator('#summary');
  const text = await summary.textContent();
  expect(text).toContain('Needs attention: support is paused (instance_disconnected); 1 group is failing (not_admin)');
  await page.evaluate(`
    changes = 0;
    new MutationObserver((list) => (changes += list.length))
      .observe(document.querySelector('#summary'), { childList: true, characterData: true, subtree: true });
  `);
  status = { ...badDay(), at: '2026-01-05T13:00:00.000Z' };
  await until('the page to show the newest', async () => {
    await page.clock.runFor(10_000);
    return (await page.locator('#attention').textContent())?.includes('1h 12m') ?? false;
  });
  expect(await page.evaluate('changes')).toBe(0);
});

it("shows times in the reader's zone, and in UTC without scripts", async () => {
  const status = { ...badDay(), workers: [worker('host-1')] };
  const { url } = await serve(() => Promise.resolve(status));
  const times = async (options: Parameters<typeof open>[1]) => {
    const { page } = await open(url, options);
    const cause = page.locator('#cause-failing-not_admin time');
    const next = page.locator('tr[data-key="launch"] time');
    const zone = await page.locator('footer .zone').textContent();
    return [zone, await cause.textContent(), await next.textContent(), await next.getAttribute('title')];
  };
  expect(await times({ timezoneId: 'America/Sao_Paulo', locale: 'en-GB' })).toEqual([
    ...['America/Sao_Paulo', '5 Jan 2026, 05:12', '12m ago', '5 Jan 2026, 08:48'],
  ]);
  expect(await times({ javaScriptEnabled: false })).toEqual([
    ...['UTC', '2026-01-05 08:12 UTC', '12m ago', '2026-01-05 11:48 UTC'],
  ]);
});

it('has a page for one group, with its history', async () => {
  const { url } = await serve(() => Promise.resolve(healthy));
  const { page, complaints } = await open(url, { timezoneId: 'UTC', locale: 'en-GB' });
  await page.getByRole('link', { name: 'vip' }).click();
  await page.waitForURL(`${url}/?group=vip`);
  expect(await page.title()).toBe('vip: invite-rotator');
  expect((await textsOf(page, '#history tr')).slice(0, 3)).toEqual([
    'From Until How Who asked Why Revision',
    '5 Jan 2026, 11:00 now rotated on request ana@web-1 found on a public site 1767610800123',
    '4 Jan 2026, 11:00 5 Jan 2026, 11:00 rotated on schedule - - 1767524400119',
  ]);
  expect(await textsOf(page, 'dl')).toEqual([
    expect.stringContaining('JID 120363406289005073@g.us Schedule every 24h'),
  ]);
  const answers = await Promise.all(
    ['/api/groups/vip', '/?group=vip&format=json', '/groups/vip?format=json'].map((path) => fetch(url + path)),
  );
  for (const answer of answers) expect(await answer.json()).toEqual(detail('vip'));
  const missing = await Promise.all(
    ['/groups/nobody', '/?group=nobody', '/api/groups/nobody'].map((path) => fetch(url + path)),
  );
  expect(missing.map(({ status }) => status)).toEqual([404, 404, 404]);
  expect(complaints).toEqual([]);
});

/** A reverse proxy that serves the pages under /rotator and removes that prefix. */
async function behindPrefix(target: string) {
  const asked: string[] = [];
  const proxy = createServer((incoming, outgoing) => {
    const path = incoming.url ?? '';
    asked.push(path);
    const rest = /^\/rotator(?=[/?]|$)(.*)$/.exec(path)?.[1];
    if (rest === undefined) return void outgoing.writeHead(404).end();
    const inner = rest.startsWith('/') ? rest : `/${rest}`;
    request(target + inner, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    }).end();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => proxy.once('listening', resolve));
  onTestFinished(() => void proxy.close());
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}

it.each(['/rotator', '/rotator/'])('works behind a prefix: %s', async (path) => {
  const status = badDay();
  const { url: target } = await serve(() => Promise.resolve(status));
  const { url, asked } = await behindPrefix(target);
  const { page, complaints } = await open(url + path, { clock: true });
  await page.getByRole('link', { name: '2 failing' }).click();
  await page.waitForURL(`${url}${path}?state=failing`);
  asked.length = 0;
  await page.clock.runFor(10_000);
  await until('a refresh', () => asked.length > 0);
  expect(asked).toEqual([`${path}?state=failing`]);
  expect(await page.locator('#stale').isVisible()).toBe(false);
  for (const name of ['JSON', 'metrics', 'readiness']) {
    const href = await page
      .getByRole('link', { name, exact: true })
      .evaluate((link) => (link as unknown as { href: string }).href);
    const answer = await fetch(href);
    expect(answer.status, name).toBe(200);
    expect(await answer.text()).toMatch(
      { JSON: /"groups":/, metrics: /invite_rotator_ready 1/, readiness: /"ready":true/ }[name]!,
    );
  }
  await page.getByRole('link', { name: 'alumni' }).first().click();
  await page.waitForURL(`${url}${path}?group=alumni`);
  const [own] = await Promise.all([page.getByRole('link', { name: 'JSON' }).getAttribute('href')]);
  expect(await (await fetch(new URL(own!, page.url()))).json()).toMatchObject({ group: 'alumni' });
  await page.getByRole('link', { name: 'All groups' }).click();
  await page.waitForURL(`${url}${path}?`);
  await page.getByRole('searchbox').fill('city-3');
  await page.keyboard.press('Enter');
  await page.waitForURL(`${url}${path}?q=city-3`);
  await page.goto(`${url}/rotator/groups/alumni`);
  await page.getByRole('link', { name: 'All groups' }).click();
  await page.waitForURL(`${url}/rotator/`);
  expect(asked.filter((one) => !one.startsWith('/rotator') && one !== '/favicon.ico')).toEqual([]);
  expect(complaints.filter((one) => !one.includes('favicon'))).toEqual([]);
});
