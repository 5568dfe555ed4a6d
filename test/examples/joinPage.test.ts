/** The join page as people use it (printed, scanned, clicked), in a real browser with a real worker. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import jsqr from 'jsqr';
import type { Browser } from 'playwright-core';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { startBrowser } from '../support/chromium.ts';
import { freePort } from '../support/redisServer.ts';
import { jids, makeRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const main = fileURLToPath(new URL('../../dist-examples/join-page/server.js', import.meta.url));
const yaml = `
instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 1h, firstSeen: wait }
groups: [{ id: vip, identifier: "${jids[0]}" }]
results: { queues: [invite-links, join-page] }
verify: off`;
/** Its types declare a module with a default export, but the module is the function. */
const decode = jsqr as unknown as typeof jsqr.default;

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
}, 300_000);
afterAll(() => browser?.close());

async function startPage({ url, prefix }: Rig, port: number) {
  const child = spawn(process.execPath, [main], {
    env: {
      PATH: process.env.PATH,
      REDIS_URL: url,
      PREFIX: prefix,
      LINKS_QUEUE: 'join-page',
      PORT: String(port),
      PUBLIC_URL: `http://127.0.0.1:${port}`,
      GROUP_NAMES: JSON.stringify({ vip: 'Vip <b>& friends</b>' }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let wrote = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (wrote += chunk));
  const stop = () => end(child);
  onTestFinished(stop);
  await until(`the page to be served; it wrote ${wrote}`, () => wrote.includes('join page at'));
  return { stop, wrote: () => wrote };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
}

it('leads from a printed code to the live link, before and after a rotation, and after a restart', async () => {
  const rig = await makeRig({ yaml });
  await rig.start();
  const port = await freePort();
  const served = await startPage(rig, port);
  const address = `http://127.0.0.1:${port}/join/vip`;
  const leadsTo = async () => (await fetch(address, { redirect: 'manual' })).headers.get('location');
  const live = () => `https://chat.whatsapp.com/${rig.standIn.codeOf(jids[0]!)}`;
  await until('the page to know the first link', async () => (await leadsTo()) === live());
  await rig.ask('bot', { group: 'vip' });
  await until('the page to know the link', async () => (await leadsTo()) === live());

  const page = await browser.newPage({ viewport: { width: 500, height: 800 } });
  onTestFinished(() => page.close());
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  // WhatsApp itself is not asked.
  const asked: string[] = [];
  await page.route('https://chat.whatsapp.com/**', (route) => {
    asked.push(route.request().url());
    return route.fulfill({ contentType: 'text/html', body: '<title>WhatsApp</title>' });
  });
  const response = await page.goto(`http://127.0.0.1:${port}/groups/vip`);
  expect(response?.headers()['cache-control']).toBe('no-store');
  expect(await page.locator('h1').textContent()).toBe('Vip <b>& friends</b>');
  const { data, width, height } = PNG.sync.read(await page.locator('#join svg').screenshot());
  expect(decode(new Uint8ClampedArray(data), width, height)?.data).toBe(address);

  const first = live();
  await page.locator('#join').click();
  await page.waitForURL('https://chat.whatsapp.com/**');
  await rig.ask('bot', { group: 'vip' });
  await until('the page to know the new link', async () => (await leadsTo()) === live());
  await page.goto(`http://127.0.0.1:${port}/groups/vip`);
  await page.locator('#join').click();
  await page.waitForURL('https://chat.whatsapp.com/**');
  expect(asked).toEqual([first, live()]);
  expect(complaints).toEqual([]);

  await served.stop();
  await startPage(rig, port);
  expect(await leadsTo()).toBe(live());
}, 60_000);

it('serves no other groups, and answers only GET', async () => {
  const rig = await makeRig({ yaml });
  const port = await freePort();
  const { wrote } = await startPage(rig, port);
  const at = (path: string, init: RequestInit = {}) => fetch(`http://127.0.0.1:${port}${path}`, init);
  for (const path of [
    '/',
    '/join/',
    '/join/nobody',
    '/groups/nobody',
    '/join/__proto__',
    '/join/a%0d%0ab',
    '/join/../x',
  ]) {
    expect((await at(path)).status, path).toBe(404);
  }
  expect((await at('/join/vip', { method: 'POST' })).status).toBe(405);
  expect(wrote()).not.toContain('Error');
});
