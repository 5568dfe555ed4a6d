/** Where stable addresses lead: to the link of the last commit, of registered groups, and to nothing else. */
import { expect, it, onTestFinished } from 'vitest';
import { line, registryRig } from '../groups/registryRig.ts';
import { jids, makeRig } from '../support/rig.ts';
import { linkOf, request, startJoin } from './joinRig.ts';

it('leads to the live link, before and after each rotation by a worker', async () => {
  const rig = await makeRig({
    yaml: `
instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 1h, firstSeen: wait }
groups: [{ id: vip, identifier: "${jids[0]}" }, { id: other, identifier: "${jids[1]}" }]
verify: off`,
  });
  await rig.start();
  await rig.adopted('vip', 'other');
  const { fresh } = await startJoin(rig);
  const live = (i: number) => linkOf(rig.standIn.codeOf(jids[i]!) ?? '');
  const seen = [await fresh('vip')];
  expect(seen).toEqual([live(0)]);
  for (let rotations = 0; rotations < 3; rotations++) {
    await rig.ask('bot', { group: 'vip' });
    const link = await fresh('vip');
    expect(link).toBe(live(0));
    seen.push(link);
  }
  expect(new Set(seen).size).toBe(4);
  expect(await fresh('other')).toBe(live(1));
});

it('answers a visitor with a link that was committed before, however many others wait', async () => {
  const rig = registryRig();
  await rig.sync(line('vip', 1));
  await rig.adopt('vip', 'CODE0');
  const { links } = await startJoin(rig);
  for (let i = 1; i <= 20; i++) {
    // Its read is under way when the link is replaced.
    const early = links.find('vip');
    await rig.reset('vip', `CODE${i}`);
    const late = await Promise.all([links.find('vip'), links.find('vip')]);
    expect(late).toEqual(Array(2).fill(expect.objectContaining({ inviteLink: linkOf(`CODE${i}`), fromMemory: false })));
    await early;
  }
});

it('follows a group that is renamed, and forgets one that leaves the files or names another WhatsApp group', async () => {
  const rig = registryRig();
  await rig.sync(line('vip', 1), line('two', 2), line('three', 3));
  for (const id of ['vip', 'two', 'three']) await rig.adopt(id, `CODE-${id}`);
  const { fresh } = await startJoin(rig);
  await rig.sync(line('renamed', 1), line('two', 4));
  expect(await Promise.all(['vip', 'renamed', 'two', 'three'].map(fresh))).toEqual([
    linkOf('CODE-vip'),
    linkOf('CODE-vip'),
    503,
    404,
  ]);
  await rig.sync(line('two', 4), line('three', 3));
  expect(await Promise.all(['vip', 'renamed', 'three'].map(fresh))).toEqual([404, 404, linkOf('CODE-three')]);
});

it('asks visitors to come back while the first link is not known', async () => {
  const rig = registryRig();
  await rig.sync(line('vip', 1));
  const { get, leadsTo, metric } = await startJoin(rig);
  const early = await get('/join/vip');
  expect(await metric('known_links')).toEqual(['known_links 0']);
  expect(early).toMatchObject({ status: 503, headers: { 'retry-after': '10', 'cache-control': 'no-store' } });
  expect(early.body.toString()).toContain('This group has no link yet.');
  await rig.adopt('vip', 'CODE1');
  expect(await leadsTo('vip')).toBe(linkOf('CODE1'));
  await get('/groups/vip');
  await get('/join/nobody');
  expect(await metric('redirects_total')).toEqual([
    'redirects_total{outcome="found"} 1',
    'redirects_total{outcome="from_memory"} 0',
    'redirects_total{outcome="no_link"} 1',
    'redirects_total{outcome="unknown_group"} 1',
    'redirects_total{outcome="unavailable"} 0',
  ]);
  expect(await metric('pages_total{outcome="found"}')).toEqual(['pages_total{outcome="found"} 1']);
});

it('serves no link to another site, and no record that it cannot read', async () => {
  const rig = registryRig();
  await rig.sync(line('vip', 1), line('two', 2), line('three', 3));
  for (const id of ['vip', 'two', 'three']) await rig.adopt(id, `CODE-${id}`);
  await rig.change('vip', { link: { code: 'X', url: 'https://evil.example/X' } });
  const { fresh } = await startJoin(rig);
  const recordId = (await rig.registration('two'))!.recordId;
  await rig.redis.hset(rig.keys.group(recordId), 'record', '{');
  expect(await fresh('vip')).toBe(503);
  // The last link that could be read.
  expect(await fresh('two')).toBe(linkOf('CODE-two'));
  expect(await fresh('three')).toBe(linkOf('CODE-three'));
});

it('answers GET and HEAD only, and ignores a query', async () => {
  const rig = registryRig();
  await rig.sync(line('vip', 1));
  await rig.adopt('vip', 'CODE1');
  const { get } = await startJoin(rig);
  const headers = { location: linkOf('CODE1'), 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
  expect(await get('/join/vip')).toMatchObject({ status: 302, headers });
  expect(await get('/join/vip?utm_source=print&group=x')).toMatchObject({ status: 302, headers });
  const head = await get('/join/vip', { method: 'HEAD' });
  expect(head).toMatchObject({ status: 302, headers });
  expect(head.body).toHaveLength(0);
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    for (const path of ['/join/vip', '/groups/vip', '/healthz', '/nothing']) {
      expect(await get(path, { method }), `${method} ${path}`).toMatchObject({
        status: 405,
        headers: { allow: 'GET, HEAD' },
      });
    }
  }
  expect(await get('/healthz')).toMatchObject({ status: 200, body: Buffer.from('{"alive":true}') });
});

const long = 'a'.repeat(65);
const nothing = [
  ...[
    '/',
    '/join',
    '/join/',
    '/groups',
    '/groups/',
    '/api/status',
    '/readyz',
    '/status',
    '/favicon.ico',
    '/robots.txt',
  ],
  ...['/join/nobody', '/groups/nobody', '/join/nobody/qr.svg', '/join/nobody/qr.png', '/join/vip/', '/join/vip/qr.gif'],
  ...['/join/VIP', '/join/Vip', '/JOIN/vip', '/join/__proto__', '/groups/constructor', '/join/toString'],
  ...['/join/../join/vip', '/join/%2e%2e/metrics', '/join/..%2fmetrics', '/join/vip%2fqr.svg', '/join/vip%2Fqr.svg'],
  ...['/join/vip%00', '/join/vip%0d%0aSet-Cookie:%20a=b', '/join/%76%69%70%20', '/join/vip;x=1', '//join/vip'],
  ...[
    '/join/120363406289005071@g.us',
    '/join/120363406289005071%40g.us',
    '/join/CODE1',
    '/join/looks-like-an-id',
    '/join/vip.vip',
    '/join/*',
  ],
  ...[`/join/${long}`, `/groups/${long.repeat(20)}`, '/join/%', '/join/%E0%A4%A', '/join/%F0%9F%8E%89'],
];

it('has nothing at any other path', async () => {
  const rig = registryRig();
  await rig.sync(line('vip', 1), line(long.slice(1), 2));
  await rig.adopt('vip', 'CODE1');
  // An invite code may look like an id.
  await rig.adopt(long.slice(1), 'looks-like-an-id');
  const { get, errors } = await startJoin(rig);
  for (const path of nothing) {
    const { status, headers, body } = await get(path);
    expect(status, path).toBe(404);
    expect(headers, path).toMatchObject({ 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    expect(body.toString(), path).toContain('There is no group at this address.');
    expect(body.toString(), path).not.toMatch(/vip|CODE1|120363|chat\.whatsapp/);
  }
  expect(errors).toEqual([]);
});

it('shows its metrics to this machine only, and nothing private in them', async () => {
  const rig = registryRig();
  await rig.sync(line('vip', 1));
  await rig.adopt('vip', 'CODE1');
  const { get, leadsTo, metric, server } = await startJoin(rig);
  await leadsTo('vip');
  const { status, body } = await get('/metrics');
  expect(status).toBe(200);
  expect(body.toString()).not.toMatch(/vip|CODE1|120363|chat\.whatsapp/);
  expect(await metric('known_links')).toEqual(['known_links 1']);
  for (const name of ['Forwarded', 'X-Forwarded-For', 'X-Real-IP', 'Via']) {
    expect(await get('/metrics', { headers: { [name]: '203.0.113.7' } }), name).toMatchObject({ status: 404 });
  }

  const apart = await startJoin(rig, { metrics: { host: '127.0.0.1', port: 0 } });
  expect(apart.server.metricsUrl).not.toBe(apart.server.url);
  expect(await apart.get('/metrics')).toMatchObject({ status: 404 });
  expect(await apart.metric('from_memory ')).toEqual(['from_memory 0']);
  expect(await request(apart.server.metricsUrl, '/join/vip')).toMatchObject({ status: 404 });
  expect(server.metricsUrl).toBe(server.url);
});

it('serves below the path of the public address, and without it', async () => {
  const rig = registryRig();
  await rig.sync(line('vip', 1));
  await rig.adopt('vip', 'CODE1');
  const { get } = await startJoin(rig, { publicUrl: 'https://example.org/our/groups' });
  for (const path of ['/join/vip', '/our/groups/join/vip']) {
    expect(await get(path), path).toMatchObject({ status: 302, headers: { location: linkOf('CODE1') } });
  }
  const page = (await get('/our/groups/groups/vip')).body.toString();
  expect(page).toContain('<p id="address">https://example.org/our/groups/join/vip</p>');
  for (const path of ['/our/join/vip', '/our/groups/healthz', '/our/groups/metrics']) {
    expect((await get(path)).status, path).toBe(404);
  }
  const encoded = await startJoin(rig, { publicUrl: 'https://example.org/gr%C3%BCppen/' });
  expect(await encoded.get('/gr%c3%bcppen/join/vip')).toMatchObject({ status: 302 });
});

it('answers what is being asked when it closes, and nothing after', async () => {
  const rig = registryRig();
  await rig.sync(line('vip', 1));
  await rig.adopt('vip', 'CODE1');
  const { get, server } = await startJoin(rig);
  const asked = Array.from({ length: 5 }, () => get('/join/vip'));
  await Promise.race(asked);
  onTestFinished(() => server.close());
  await server.close();
  const ends = await Promise.allSettled([...asked, get('/join/vip')]);
  expect(ends.at(-1)?.status).toBe('rejected');
  expect(ends[0]).toMatchObject({ status: 'fulfilled', value: { status: 302 } });
});
