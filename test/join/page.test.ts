/** The pages as people use them: printed, scanned and clicked. */
import jsqr from 'jsqr';
import type { Browser, Page } from 'playwright-core';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { line, registryRig } from '../groups/registryRig.ts';
import { startBrowser } from '../support/chromium.ts';
import { linkOf, startJoin } from './joinRig.ts';

/** Its types declare a module with a default export, but the module is the function. */
const decode = jsqr as unknown as typeof jsqr.default;
const title = 'Vip <b>& "friends"</b> of the longest-possible-word-that-no-phone-can-show-on-one-of-its-lines';

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
}, 300_000);
afterAll(() => browser?.close());

async function open() {
  const rig = registryRig();
  await rig.sync(line('vip', 1), line('a'.repeat(64), 2));
  await rig.adopt('vip', 'CODE1');
  await rig.adopt('a'.repeat(64), 'CODE2');
  const titleOf = (group: string) => (group === 'vip' ? title : group);
  return { rig, ...(await startJoin(rig, { publicUrl: null, titleOf })) };
}

async function newPage(width: number): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage({ viewport: { width, height: 800 } });
  onTestFinished(() => page.close());
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  return { page, complaints };
}

function decoded(png: Buffer): string | undefined {
  const { data, width, height } = PNG.sync.read(png);
  return decode(new Uint8ClampedArray(data), width, height)?.data;
}

it('shows a page whose code leads to the stable address, on a phone and on paper', async () => {
  const { rig, server } = await open();
  const address = `${server.url}/join/vip`;
  const { page, complaints } = await newPage(320);
  // WhatsApp itself is not asked.
  const visited: string[] = [];
  await page.route('https://chat.whatsapp.com/**', (route) => {
    visited.push(route.request().url());
    return route.fulfill({ contentType: 'text/html', body: '<title>WhatsApp</title>' });
  });
  for (const code of ['CODE1', 'CODE-new']) {
    const response = await page.goto(`${server.url}/groups/vip`);
    expect(response?.headers()).toMatchObject({ 'cache-control': 'no-store', 'x-robots-tag': 'noindex' });
    expect(await page.title()).toBe(title);
    expect(await page.locator('h1').textContent()).toBe(title);
    expect(await page.locator('#address').textContent()).toBe(address);
    expect(decoded(await page.locator('#join svg').screenshot())).toBe(address);
    expect(await page.content()).not.toContain(code);
    await page.locator('#join').click();
    await page.waitForURL('https://chat.whatsapp.com/**');
    if (code === 'CODE1') await rig.reset('vip', 'CODE-new');
  }
  expect(visited).toEqual([linkOf('CODE1'), linkOf('CODE-new')]);
  expect(complaints).toEqual([]);

  for (const group of ['vip', 'a'.repeat(64), 'nobody']) {
    await page.goto(`${server.url}/groups/${group}`);
    const wide = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    expect(wide, group).toBe(0);
  }
  await page.goto(`${server.url}/groups/vip`);
  const paper = (await page.pdf({ format: 'A5' })).toString('latin1');
  expect(paper.match(/\/Type \/Page\b/g)).toHaveLength(1);
  await page.emulateMedia({ media: 'print' });
  expect(decoded(await page.locator('#join svg').screenshot())).toBe(address);
});

it('draws the codes as files, which lead to the stable address and may be cached', async () => {
  const { get, server } = await open();
  const address = `${server.url}/join/vip`;
  const png = await get('/join/vip/qr.png');
  expect(png).toMatchObject({
    status: 200,
    headers: { 'content-type': 'image/png', 'cache-control': 'public, max-age=3600' },
  });
  expect(decoded(png.body)).toBe(address);
  expect(png.body.equals((await get('/join/vip/qr.png')).body)).toBe(true);
  expect((await get('/join/vip/qr.png', { method: 'HEAD' })).headers['content-length']).toBe(String(png.body.length));

  const svg = await get('/join/vip/qr.svg');
  expect(svg).toMatchObject({ status: 200, headers: { 'content-type': 'image/svg+xml' } });
  const { page, complaints } = await newPage(400);
  await page.setContent(`<img width="300" src="${server.url}/join/vip/qr.svg">`, { waitUntil: 'networkidle' });
  expect(decoded(await page.locator('img').screenshot())).toBe(address);
  expect(complaints).toEqual([]);
});

it('runs no script, whatever the title', async () => {
  const { get } = await open();
  const { headers, body } = await get('/groups/vip');
  expect(headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; /);
  expect(body.toString()).toContain('<h1>Vip &lt;b&gt;&amp; &quot;friends&quot;&lt;/b&gt; of');
  expect(body.toString()).not.toMatch(/<script|<b>|onclick|javascript:/i);
});
