/**
 * For every answer to a reset and every state of the group: consumers end up with the live link, no foreign or replaced
 * code is published, and no unnecessary calls are made.
 */
import { expect, it } from 'vitest';
import type { Fault } from '../../dev/standin/faults.ts';
import { file, started } from '../support/edited.ts';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const envelope = (message: string) => ({ success: false, error: { message } });
const answer = (status: number, body: string | object, effectAfterMs: number | null): Fault => ({
  ...{ kind: 'answer', status, body, effectAfterMs },
});
const html = '<html><body>gateway</body></html>';

interface Answer {
  readonly fault: Fault;
  /** Resets until the one-off is answered: 1 where the first had an effect. */
  readonly resets: 1 | 2;
  /** Without a known link, it is unclear who made the link that is shown. That costs one more reset. */
  readonly blindResets?: 2;
}

const answers: Readonly<Record<string, Answer>> = {
  '201': { fault: answer(201, '', 0), resets: 1, blindResets: 2 },
  'no link': { fault: answer(200, { success: true, groupJid: 'x' }, 0), resets: 1, blindResets: 2 },
  '"undefined" for a code': {
    fault: answer(200, { success: true, inviteCode: 'undefined' }, 0),
    resets: 1,
    blindResets: 2,
  },
  'the old code, with an effect': { fault: { kind: 'repeat', effect: true }, resets: 1 },
  'the old code, without one': { fault: { kind: 'repeat', effect: false }, resets: 2 },
  'success: false': { fault: answer(200, envelope('failed'), 0), resets: 1, blindResets: 2 },
  '400 timed out': { fault: answer(400, envelope('timed out'), 0), resets: 1, blindResets: 2 },
  '404 timed out, and a late effect': {
    fault: answer(404, envelope('info query timed out'), 700),
    resets: 1,
    blindResets: 2,
  },
  '404 in other words': { fault: answer(404, envelope('item-not-found'), 0), resets: 1, blindResets: 2 },
  '404 that begins like a refusal': {
    fault: answer(404, envelope('Group not found: info query timed out'), 0),
    resets: 1,
    blindResets: 2,
  },
  '403 that ends like one, and a late effect': {
    fault: answer(403, envelope('no response in time (must be admin)'), 700),
    resets: 1,
    blindResets: 2,
  },
  'a code that is a word': { fault: answer(200, { inviteCode: 'Unknown' }, 0), resets: 1, blindResets: 2 },
  '408': { fault: answer(408, envelope('Request Timeout'), 0), resets: 1, blindResets: 2 },
  '408, and no effect': { fault: answer(408, envelope('Request Timeout'), null), resets: 2 },
  '409': { fault: answer(409, envelope('conflict'), 0), resets: 1, blindResets: 2 },
  '425': { fault: answer(425, '', 0), resets: 1, blindResets: 2 },
  '499, and a late effect': { fault: answer(499, html, 700), resets: 1, blindResets: 2 },
  '500 timed out, and a late effect': {
    fault: answer(500, envelope('info query timed out'), 700),
    resets: 1,
    blindResets: 2,
  },
  '500, and no effect': { fault: answer(500, envelope('Internal server error'), null), resets: 2 },
  '503 in other words': { fault: answer(503, envelope('try again'), 0), resets: 1, blindResets: 2 },
};

/** If no link is ever shown, an old code cannot be recognized, and an undocumented refusal counts as one. */
const needsLink = (fault: Fault) => fault.kind === 'repeat' || fault === answers['404 in other words']?.fault;

const states = ['known', 'by code', 'not shown', 'uncertain'] as const;

it.each(states)('ends with the live link of a group that is %s', async (state) => {
  const cases = Object.entries(answers).filter(([, { fault }]) => state !== 'not shown' || !needsLink(fault));
  const code = (n: number) => `CODE${String(n).padStart(5, '0')}abcdefghijklm`;
  const world = cases.map((_, n) => ({ jid: jids[n]!, ...(state === 'by code' ? { code: code(n) } : {}) }));
  const entries = cases.map((_, n) => `{ id: g${n}, identifier: "${state === 'by code' ? code(n) : jids[n]}" }`);
  // More calls than the default limit allows in a minute.
  const bot = '{ name: bot, tokenEnv: TOKEN, concurrency: 20, rateLimit: { max: 1000, per: 1m } }';
  const limit = { limit: 1_000, perMs: 60_000 };
  const { rig } = await started(file(bot, ...entries), { groups: world, limit });
  const hide = (n: number) => (rig.standIn.group(jids[n]!).link = 'empty');
  if (state === 'not shown') for (const n of cases.keys()) hide(n);
  await Promise.all(
    cases.map(async ([name, { fault, resets, blindResets }], n) => {
      const jid = jids[n]!;
      const [id, made] = [`g${n}`, () => rig.standIn.log.of({ endpoint: 'reset', jid })];
      const blind = state === 'not shown';
      await until('the first read', () =>
        rig.standIn.log.of({ endpoint: 'info', jid }).some(({ status }) => status === 200),
      );
      if (state === 'uncertain') {
        rig.standIn.faults.next({ kind: 'cut', effect: true }, { endpoint: 'reset', jid });
        void rig.ask('bot', { group: id }).catch(() => {});
        await until('the reset that is lost', () => made().length === 1);
      }
      const before = made().length;
      rig.standIn.faults.next(fault, { endpoint: 'reset', jid });
      const result = (await rig.ask('bot', { group: id, requestId: name })) as { inviteCode: string };
      const live = rig.standIn.codeOf(jid);
      expect(result.inviteCode, name).toBe(live);
      await until(`the live link of ${name}`, () => rig.eventsOf(id).at(-1)?.inviteCode === rig.standIn.codeOf(jid));
      const allowed = blind ? (blindResets ?? 2) : resets;
      if (state !== 'uncertain') expect(made().length - before, name).toBeLessThanOrEqual(allowed);
      expect(rig.standIn.log.maxResetsInFlight(jid), name).toBe(1);

      const events = rig.eventsOf(id);
      const codes = events.map(({ inviteCode }) => inviteCode!);
      const history = rig.standIn.group(jid).history.map((one) => one.code);
      expect(new Set(codes).size, name).toBe(codes.length);
      for (const one of codes) expect(history, name).toContain(one);
      expect(
        events.filter(({ type }) => type === 'rotation.failed'),
        name,
      ).toEqual([]);
    }),
  );
  if (state === 'not shown') return;
  await until('every call to be settled', async () => (await rig.redis.zcard(rig.keys.unsettled)) === 0);
});

it.each([1, 10, 50])('recognizes the code of %i revisions before in the answer to a reset', async (ago) => {
  const { rig } = await started(file('{ name: bot, tokenEnv: TOKEN }', `{ id: vip, identifier: "${jids[0]}" }`));
  await rig.adopted('vip');
  const replacedCodes = Array.from({ length: 50 }, (_, i) => `Old${String(i + 1).padStart(2, '0')}efghijklmnopqrstu`);
  await rig.change('vip', { replacedCodes });
  const old = { success: true, groupJid: jids[0], inviteCode: replacedCodes[ago - 1] };
  rig.standIn.faults.next(answer(200, old, 0), { endpoint: 'reset' });
  const live = { status: 'recovered', inviteCode: expect.not.stringContaining('Old') };
  expect(await rig.ask('bot', { group: 'vip' })).toMatchObject(live);
  expect((await rig.later('vip')).inviteCode).toBe(rig.standIn.codeOf(jids[0]!));
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
});

it('reports at once, without a second call, that the API does not implement a call', async () => {
  const { rig } = await started(file('{ name: bot, tokenEnv: TOKEN }', `{ id: vip, identifier: "${jids[0]}" }`));
  await rig.adopted('vip');
  rig.standIn.faults.next(answer(501, envelope('not implemented'), null), { endpoint: 'reset' });
  await expect(rig.ask('bot', { group: 'vip' })).rejects.toThrow(/^server_error: not implemented$/);
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
  expect(await rig.later('vip')).toMatchObject({
    error: { code: 'server_error', httpStatus: 501 },
    linkUncertain: false,
  });
});

const failing: readonly (readonly [Fault, RegExp, number])[] = [
  [answer(501, html, 700), /^server_error: /, 1],
  [answer(200, envelope('Not authorized to reset group invite link (must be admin)'), 700), /^not_admin: /, 1],
  [answer(500, envelope('Group not found or you are not a member of this group'), 700), /^group_not_found: /, 1],
  // However often the link is read back between them.
  [{ kind: 'cut', effect: false }, /^network_error: .* \(after 2 calls\)$/, 2],
];
it('fails a one-off after few resets that are always answered in the same way, and publishes a late effect', async () => {
  const rig = await makeRig({
    yaml: file('{ name: bot, tokenEnv: TOKEN }', ...failing.map((_, n) => `{ id: g${n}, identifier: "${jids[n]}" }`)),
    api: 'timeout: 1s, settleTime: 2s',
    retry: 'attempts: 2, baseDelay: 20ms, maxDelay: 100ms',
  });
  await rig.start();
  await rig.adopted(...failing.map((_, n) => `g${n}`));
  rig.standIn.faults.random(({ endpoint, jid }) => (endpoint === 'reset' ? failing[jids.indexOf(jid!)]![0] : null));
  await Promise.all(
    failing.map(async ([fault, reason, count], n) => {
      const [id, made] = [`g${n}`, () => rig.standIn.log.of({ endpoint: 'reset', jid: jids[n]! })];
      await expect(rig.ask('bot', { group: id })).rejects.toThrow(reason);
      if (fault.kind === 'answer') await until('the effect', () => made()[0]!.effect);
      await until('the live link', () => rig.eventsOf(id).at(-1)?.inviteCode === rig.standIn.codeOf(jids[n]!));
      await until('the failure', () => rig.laterOf(id).some(({ type }) => type === 'rotation.failed'));
      expect(made()).toHaveLength(count);
      const published = rig.laterOf(id).filter(({ type }) => type !== 'rotation.failed');
      expect(published.map(({ reason }) => reason)).toEqual(fault.kind === 'answer' ? ['recovery'] : []);
    }),
  );
});

it('reads a call back once although its answer has paused the instance, which the read does not end', async () => {
  const cases: readonly (readonly [string, Fault, string])[] = [
    ['bot', answer(403, envelope('Forbidden'), 0), 'recovered'],
    ['bot2', answer(428, envelope('Connection Closed'), 0), 'recovered'],
    ['bot3', answer(401, envelope('not-authorized'), null), 'waits'],
  ];
  const names = cases.map(([name]) => name);
  const rig = await makeRig({
    yaml: file(
      names.map((name) => `{ name: ${name}, tokenEnv: TOKEN }`).join(', '),
      ...names.map((name, n) => `{ id: g${n}, identifier: "${jids[n]}", instance: ${name} }`),
    ),
    standIn: { instances: names, groups: names.map((name, n) => ({ jid: jids[n]!, admins: [name], members: [name] })) },
  });
  await rig.start();
  await rig.adopted('g0', 'g1', 'g2');
  await Promise.all(
    cases.map(async ([name, fault, how], n) => {
      const calls = () => rig.standIn.log.of({ jid: jids[n]! }).map(({ endpoint }) => endpoint);
      rig.standIn.faults.next(fault, { endpoint: 'reset', jid: jids[n]! });
      const asked = rig.ask(name, { group: `g${n}` });
      if (how === 'recovered') expect(await asked).toMatchObject({ status: 'recovered' });
      else await until('the call to be settled', async () => (await rig.record(`g${n}`)).unseenResetAt !== null);
      expect(calls(), name).toEqual(['info', 'reset', 'info']);
      expect(await rig.redis.exists(rig.keys.gate(name)), name).toBe(1);
    }),
  );
  for (const n of [0, 1]) expect((await rig.later(`g${n}`)).inviteCode).toBe(rig.standIn.codeOf(jids[n]!));
});

it('reports the number of its attempts', async () => {
  const { rig } = await started(file('{ name: bot, tokenEnv: TOKEN }', `{ id: vip, identifier: "${jids[0]}" }`));
  await rig.adopted('vip');
  rig.standIn.faults.next({ kind: 'serverError', effect: false }, { endpoint: 'reset' }, 4);
  await expect(rig.ask('bot', { group: 'vip' })).rejects.toThrow('server_error: Internal server error (after 4 calls)');
});

it('does not publish a link that this program has replaced and a cache still shows', async () => {
  const yaml = file('{ name: bot, tokenEnv: TOKEN }', `{ id: vip, identifier: "${jids[0]}" }`);
  const { rig } = await started(yaml.replace('verify: off', 'verify: { every: 1s }'));
  await rig.adopted('vip');
  rig.standIn.faults.random(({ endpoint }) => (endpoint === 'info' ? { kind: 'stale', ageMs: 30_000 } : null));
  for (let i = 0; i < 3; i++) await rig.ask('bot', { group: 'vip' });
  await until('the cached link to be read', async () => (await rig.record('vip')).unverified > 0);
  rig.standIn.faults.clear();
  await until('the live link to be verified', async () => (await rig.record('vip')).unverified === 0);
  expect(rig.laterOf('vip').map(({ reason }) => reason)).toEqual(['request', 'request', 'request']);
  expect(rig.laterOf('vip').at(-1)!.inviteCode).toBe(rig.standIn.codeOf(jids[0]!));
});
