import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type StandInOptions, startStandIn } from '../../dev/standin/standIn.ts';
import { until } from '../support/until.ts';

const [jid, other] = ['120363406289005073@g.us', '120363406289005074@g.us'];

async function start(options: Partial<StandInOptions> = {}) {
  const standIn = await startStandIn({
    instances: ['bot', 'bot2'],
    tokens: [{ token: 'account' }, { token: 'one', instance: 'bot' }],
    groups: [
      { jid, code: 'FIRST67890' },
      { jid: other, admins: ['bot2'], members: ['bot', 'bot2'] },
    ],
    ...options,
  });
  onTestFinished(() => standIn.close());
  const ask = async (method: string, path: string, token?: string, body?: unknown, type = 'application/json') => {
    const response = await fetch(standIn.url + path, {
      method,
      headers: { 'content-type': type, ...(token === undefined ? {} : { token }) },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) };
  };
  const reset = (identifier: unknown, token = 'account', instance = 'bot') =>
    ask('POST', `/api/group/resetLink/${instance}`, token, { identifier });
  return { standIn, ask, reset };
}

describe('refuses what the real API refuses', () => {
  const message = (body: { error: { message: string } }) => body.error.message;
  it('tokens', async () => {
    const { ask, reset } = await start();
    expect(await ask('POST', '/api/group/resetLink/bot')).toMatchObject({
      status: 401,
      body: { success: false, error: { message: 'Missing token in header' } },
    });
    expect((await reset(jid, 'unknown')).status).toBe(401);
    const wrong = await reset(jid, 'one', 'bot2');
    expect([wrong.status, message(wrong.body)]).toEqual([403, 'Instance token does not match the requested instance']);
  });
  it('instances and groups', async () => {
    const { ask, reset, standIn } = await start();
    expect(message((await reset(jid, 'account', 'ghost')).body)).toBe('Instance not found');
    expect(await ask('POST', '/api/group/resetLink/bot', 'account', {})).toMatchObject({
      status: 400,
      body: { error: { message: 'Identifier is required' } },
    });
    expect((await ask('POST', '/api/group/resetLink/bot', 'account', '{"identifier":')).status).toBe(400);
    expect((await ask('POST', '/api/group/resetLink/bot', 'account', { identifier: jid }, 'text/plain')).status).toBe(
      400,
    );
    expect((await reset('120363000000000099@g.us')).status).toBe(404);
    expect(message((await reset(other)).body)).toBe('Not authorized to reset group invite link (must be admin)');
    standIn.setConnection('bot', 'disconnected', 400);
    expect(await reset(jid)).toMatchObject({
      status: 400,
      body: { error: { message: 'Instance is not connected to WhatsApp' } },
    });
    standIn.setConnection('bot', 'connected');
    expect((await ask('GET', '/api/group/resetLink/bot', 'account')).status).toBe(404);
  });
});

it('replaces the link at once, so that the old code and link find nothing', async () => {
  const { standIn, reset } = await start();
  const first = await reset('https://chat.whatsapp.com/FIRST67890');
  expect(first.body).toEqual({
    success: true,
    message: 'Group invite link reset successfully',
    groupJid: jid,
    inviteCode: standIn.codeOf(jid),
    inviteLink: standIn.linkOf(jid),
  });
  expect((await reset('FIRST67890')).status).toBe(404);
  expect((await reset(first.body.inviteCode)).status).toBe(200);
  expect(standIn.isLive(first.body.inviteCode)).toBe(false);
  expect(standIn.group(jid).history).toHaveLength(3);
});

it('shows instances and health', async () => {
  const { ask, standIn } = await start();
  standIn.setConnection('bot', 'loggedout');
  const instances = async (name: string, token: string) =>
    (await ask('GET', `/api/instance/list${name === '' ? '' : `?instanceName=${name}`}`, token)).body.instances;
  expect(await instances('bot', 'account')).toMatchObject([
    { instanceName: 'bot', connection: { state: 'loggedout', numberJid: expect.stringContaining(':7@') } },
  ]);
  expect(await instances('', 'account')).toHaveLength(2);
  expect(await instances('', 'one')).toMatchObject([{ instanceName: 'bot' }]);
  expect((await ask('GET', '/api/instance/list?instanceName=bot2', 'one')).status).toBe(404);
  const health = await ask('GET', '/health');
  expect([health.status, health.headers.get('x-ratelimit-limit')]).toEqual([200, null]);
});

it('lists the groups of an instance, in both forms that have been seen', async () => {
  const { ask, standIn } = await start();
  standIn.addGroup({ jid: '120363406289005075@g.us', name: 'Course', admins: ['bot2'] });
  const list = async (path: string) => await ask('GET', `/api/group/list/${path}`, 'account');
  expect((await list('bot?includeMembers=false')).body.groups).toEqual([
    { groupJid: jid, name: 'A group', memberCount: 2 },
    { groupJid: other, name: 'A group', memberCount: 2 },
  ]);
  expect((await list('bot2?includeMembers=true')).body.groups[2].participants).toEqual([
    { jid: '5511999990001@s.whatsapp.net', isAdmin: true, isSuperAdmin: false },
  ]);
  expect((await list('bot')).status).toBe(400);
  standIn.setConnection('bot', 'disconnected');
  expect((await list('bot?includeMembers=false')).status).toBe(503);
  const { ask: askOther } = await start({ listForm: 'whatsapp' });
  expect((await askOther('GET', '/api/group/list/bot?includeMembers=false', 'account')).body.groups[0]).toEqual({
    id: jid,
    subject: 'A group',
  });
});

describe('limits the requests of each token', () => {
  const limits = (headers: Headers) => ['limit', 'remaining'].map((name) => Number(headers.get(`x-ratelimit-${name}`)));
  /** Returns what lets time pass. Else it stands still. */
  function stopClock(): (ms: number) => void {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    return (ms) => void vi.advanceTimersByTime(ms);
  }
  it('in a sliding window', async () => {
    const pass = stopClock();
    const { reset, standIn } = await start({ limit: { window: 'sliding', perMs: 2_000, limit: 2 } });
    expect(limits((await reset(jid)).headers)).toEqual([2, 1]);
    pass(1_000);
    expect(limits((await reset(jid)).headers)).toEqual([2, 0]);
    const refused = await reset(jid);
    expect(refused).toMatchObject({
      status: 429,
      body: { error: { message: 'Rate limit exceeded. Try again later.' } },
    });
    expect((await reset(jid, 'one')).status).toBe(200);
    pass(1_050);
    expect((await reset(jid)).status).toBe(200);
    expect((await reset(jid)).status).toBe(429);
    expect(standIn.log.maxInAnyWindow('account', 2_000)).toBe(2);
  });
  it('in a window aligned to the clock', async () => {
    const pass = stopClock();
    const { reset } = await start({ limit: { window: 'fixed', perMs: 1_500, limit: 2 } });
    pass(1_500 - (Date.now() % 1_500) + 5);
    expect(limits((await reset(jid)).headers)).toEqual([2, 1]);
    await reset(jid);
    expect((await reset(jid)).status).toBe(429);
    pass(1_500 - (Date.now() % 1_500) + 5);
    expect(limits((await reset(jid)).headers)).toEqual([2, 1]);
  });
  it('with a limit that tests can change or use up', async () => {
    const { reset, standIn } = await start();
    standIn.setLimit('account', 5);
    standIn.useToken('account', 4);
    expect(limits((await reset(jid)).headers)).toEqual([5, 0]);
    expect((await reset(jid)).status).toBe(429);
  });
});

describe('injects faults', () => {
  it('in order, as often as asked, only for matching requests', async () => {
    const { reset, standIn } = await start();
    standIn.faults.next({ kind: 'serverError', effect: false, status: 503 }, { jid: other });
    standIn.faults.next({ kind: 'serverError', effect: true }, { jid }, 2);
    const before = standIn.codeOf(jid);
    expect([(await reset(jid)).status, (await reset(jid)).status, (await reset(jid)).status]).toEqual([500, 500, 200]);
    expect(standIn.codeOf(jid)).not.toBe(before);
    expect((await reset(other)).status).toBe(503);
    expect(standIn.log.of({ jid }).map(({ fault, effect }) => [fault, effect !== null])).toEqual([
      ['serverError', true],
      ['serverError', true],
      [null, true],
    ]);
  });
  it('with an effect after the connection was reset', async () => {
    const { reset, standIn } = await start();
    standIn.faults.next({ kind: 'lateEffect', effectAfterMs: 60 });
    await expect(reset(jid)).rejects.toThrow();
    await until('the effect', () => standIn.codeOf(jid) !== 'FIRST67890');
    const [request] = standIn.log.of({ endpoint: 'reset' });
    expect(request!.effect!.at).toBeGreaterThan(request!.end!);
    expect(request!.status).toBeNull();
  });
  it('at random, as a chooser decides', async () => {
    const { reset, standIn } = await start();
    standIn.faults.random(({ id }) => (id === 2 ? { kind: 'limit' } : null));
    expect([(await reset(jid)).status, (await reset(jid)).status, (await reset(jid)).status]).toEqual([200, 429, 200]);
  });
});

it('reports which requests were in flight at a given time', async () => {
  const { reset, standIn } = await start();
  standIn.faults.next({ kind: 'slow', ms: 1_000 });
  await Promise.all([reset(jid), reset(jid)]);
  expect(standIn.log.inFlightAt(Math.max(...standIn.log.all.map(({ begin }) => begin)))).toHaveLength(2);
  await reset(jid);
  expect(standIn.log.maxResetsInFlight(jid)).toBe(2);
});
