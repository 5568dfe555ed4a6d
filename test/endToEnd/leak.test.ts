/**
 * A leak is reported by its link: a current link is replaced once, one that was replaced costs no call, and one that nobody
 * knows costs one read.
 */
import { expect, it } from 'vitest';
import { bot, bot2, file, group, inFlight, started } from '../support/edited.ts';
import { jids, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const vip = file(bot, group('vip', 0));
const linkTo = (code: string) => `https://chat.whatsapp.com/${code}`;
const calls = (rig: Rig, endpoint: 'reset' | 'info') => rig.standIn.log.of({ endpoint }).length;

async function adopted(text = vip, standIn = {}) {
  const run = await started(text, standIn);
  await run.rig.adopted('vip');
  return { ...run, code: run.rig.standIn.codeOf(jids[0]!), reads: calls(run.rig, 'info') };
}

it('replaces a current link once, and answers the same link without a call from then on', async () => {
  const { rig, code, reads } = await adopted();
  const leak = { group: linkTo(code), reason: 'posted in a forum', requestId: 'r1', requestedBy: 'me' };
  const rotated = await rig.ask('bot', leak);
  expect(rotated).toMatchObject({ status: 'rotated', group: 'vip', inviteCode: rig.standIn.codeOf(jids[0]!) });
  expect(rotated).not.toHaveProperty('replacedAt');

  const again = (await rig.ask('bot', { group: code })) as Record<string, unknown>;
  const { inviteCode, inviteLink, revision, rotatedAt, jid } = rotated as Record<string, unknown>;
  expect(again).toEqual({
    status: 'satisfied',
    group: 'vip',
    ...{ jid, inviteCode, inviteLink, revision, rotatedAt },
    replacedAt: rotatedAt,
    replacedReason: 'request',
    replacedRequest: { requestId: 'r1', requestedBy: 'me', reason: 'posted in a forum' },
  });
  expect([calls(rig, 'reset'), calls(rig, 'info')]).toEqual([1, reads]);
});

it('logs who asked for a rotation and why, and no link or code that they wrote', async () => {
  const { rig, code } = await adopted();
  const lineOf = (event: string, requestId: string) =>
    until(event, () => rig.logged.find((line) => line.event === event && line.requestId === requestId));
  const request = (requestId: string) => ({
    group: 'vip',
    requestId,
    requestedBy: 'ana@desk',
    reason: `${code} or ${linkTo(code)} was seen beside AnotherCode12345678901`,
  });
  const by = {
    work: 'request',
    requestedBy: 'ana@desk',
    reason: expect.stringMatching(/^\[redacted\] or .* was seen beside \[redacted\]$/),
  };
  await rig.ask('bot', request('r1'));
  expect(await lineOf('rotation.rotated', 'r1')).toMatchObject(by);
  await rig.ask('bot', { ...request('r2'), group: code });
  expect(await lineOf('rotation.satisfied', 'r2')).toMatchObject(by);
  rig.standIn.faults.next({ kind: 'cut', effect: true }, { endpoint: 'reset' });
  await rig.ask('bot', request('r3'));
  expect(await lineOf('rotation.recovered', 'r3')).toMatchObject(by);
  rig.standIn.faults.next({ kind: 'serverError', status: 501, effect: false }, { endpoint: 'reset' });
  await rig.ask('bot', request('r4')).catch(() => {});
  expect(await lineOf('rotation.failed', 'r4')).toMatchObject(by);
  const lines = JSON.stringify(rig.logged);
  for (const secret of [code, rig.standIn.codeOf(jids[0]!), 'AnotherCode']) expect(lines).not.toContain(secret);
});

it('takes the forms of a link that people copy, and never takes an id for one', async () => {
  const text = file(bot, group('vip', 0), group('abc123xyz', 1));
  const { rig, code } = await adopted(text, {
    groups: [{ jid: jids[0]!, code: 'ABC123XYZ' }, { jid: jids[1]! }],
  });
  await rig.adopted('abc123xyz');
  expect(code).toBe('ABC123XYZ');
  expect(await rig.ask('bot', { group: 'abc123xyz' })).toMatchObject({ group: 'abc123xyz', status: 'rotated' });
  for (const name of ['ABC123XYZ', ' <https://CHAT.whatsapp.com/invite/ABC123XYZ?mode=x>\u200e', `${jids[0]} `]) {
    expect(await rig.ask('bot', { group: name })).toMatchObject({ group: 'vip' });
  }
  // The link has been replaced before the second of them.
  await rig.later('vip', 1);
  expect(rig.standIn.log.of({ endpoint: 'reset', jid: jids[0]! })).toHaveLength(2);
});

it('makes one reset for twenty reports of one link', async () => {
  const { rig, code } = await adopted(vip, { latency: { minMs: 20, maxMs: 60 } });
  const asked = Array.from({ length: 20 }, () => rig.ask('bot', { group: linkTo(code) }));
  const results = (await Promise.all(asked)) as { status: string; inviteCode: string }[];
  expect(results.filter(({ status }) => status === 'rotated')).toHaveLength(1);
  expect(new Set(results.map(({ inviteCode }) => inviteCode)).size).toBe(1);
  expect(calls(rig, 'reset')).toBe(1);
});

it('is satisfied if the link was replaced after the request was pushed', async () => {
  const { rig, code } = await adopted();
  const queue = rig.queue('bot');
  await queue.pause();
  const asked = rig.ask('bot', { group: linkTo(code) });
  await until('the request to wait', async () => (await queue.getWaitingCount()) === 1);
  rig.standIn.faults.next({ kind: 'slow', ms: 300 }, { endpoint: 'reset' });
  const first = rig.ask('bot', { group: 'vip', requestId: 'r1' }, 'rotate', { lifo: true });
  await until('both to wait', async () => (await queue.getWaitingCount()) === 2);
  await queue.resume();
  expect(await first).toMatchObject({ status: 'rotated' });
  expect(await asked).toMatchObject({
    status: 'satisfied',
    inviteCode: rig.standIn.codeOf(jids[0]!),
    replacedReason: 'request',
    replacedRequest: { requestId: 'r1' },
  });
  expect(calls(rig, 'reset')).toBe(1);
});

it('looks up a link that a person made, publishes it, and replaces it', async () => {
  const { rig, code, reads, count } = await adopted();
  const made = rig.standIn.resetByHand(jids[0]!);
  expect(await rig.ask('bot', { group: linkTo(made) })).toMatchObject({ status: 'rotated', group: 'vip' });
  const [drift, rotated] = [await rig.later('vip'), await rig.later('vip', 1)];
  expect(drift).toMatchObject({ reason: 'drift', inviteCode: made, previousInviteCode: code });
  expect(rotated).toMatchObject({ reason: 'request', previousInviteCode: made });
  expect(count('link.changed')).toBe(1);
  expect([calls(rig, 'reset'), calls(rig, 'info')]).toEqual([1, reads + 1]);
  for (const dead of [made, code]) {
    expect(await rig.ask('bot', { group: dead })).toMatchObject({ status: 'satisfied', group: 'vip' });
  }
  expect([calls(rig, 'reset'), calls(rig, 'info')]).toEqual([1, reads + 1]);
});

it('asks once for twenty reports of a link that a person made', async () => {
  const { rig, reads } = await adopted(vip, { latency: { minMs: 20, maxMs: 60 } });
  const made = rig.standIn.resetByHand(jids[0]!);
  const results = await Promise.all(Array.from({ length: 20 }, () => rig.ask('bot', { group: linkTo(made) })));
  expect(results.filter((one) => (one as { status: string }).status === 'rotated')).toHaveLength(1);
  expect([calls(rig, 'reset'), calls(rig, 'info')]).toEqual([1, reads + 1]);
});

it('replaces a link once that a person made, although a cache shows the link before it', async () => {
  const { rig, reads } = await adopted();
  const made = rig.standIn.resetByHand(jids[0]!);
  rig.standIn.faults.next({ kind: 'stale', ageMs: 30_000 }, { endpoint: 'info' });
  const rotated = await rig.ask('bot', { group: linkTo(made) });
  const { inviteCode } = rotated as { inviteCode: string };
  expect(rotated).toMatchObject({ status: 'rotated', inviteCode: rig.standIn.codeOf(jids[0]!) });
  expect(await rig.redis.pttl(rig.keys.link(made))).toBeGreaterThan(24 * 3_600_000);
  // Not within the second in which one reset answers several one-offs.
  await rig.change('vip', { resetBegunAt: 1 });
  expect(await rig.ask('bot', { group: made })).toMatchObject({ status: 'satisfied', inviteCode });
  expect([calls(rig, 'reset'), calls(rig, 'info')]).toEqual([1, reads + 1]);
});

it('is never answered by the very link that it names, although a cache hid it and the first reset failed', async () => {
  const { rig } = await adopted();
  const made = rig.standIn.resetByHand(jids[0]!);
  rig.standIn.faults.next({ kind: 'stale', ageMs: 30_000 }, { endpoint: 'info' });
  rig.standIn.faults.next({ kind: 'serverError', effect: false }, { endpoint: 'reset' });
  const rotated = (await rig.ask('bot', { group: made })) as { inviteCode: string };
  expect(rotated).toMatchObject({ status: 'rotated', inviteCode: rig.standIn.codeOf(jids[0]!) });
  await rig.later('vip', 1);
  expect(rig.laterOf('vip').map(({ reason }) => reason)).toEqual(['drift', 'request']);
});

it.each([true, false])('does not believe a reset that repeats the link that was named (effect: %s)', async (effect) => {
  const { rig } = await adopted();
  const made = rig.standIn.resetByHand(jids[0]!);
  rig.standIn.faults.next({ kind: 'stale', ageMs: 30_000 }, { endpoint: 'info' });
  rig.standIn.faults.next({ kind: 'repeat', effect }, { endpoint: 'reset' });
  const { inviteCode } = (await rig.ask('bot', { group: made })) as { inviteCode: string };
  expect(inviteCode).not.toBe(made);
  expect(inviteCode).toBe(rig.standIn.codeOf(jids[0]!));
  expect(calls(rig, 'reset')).toBe(effect ? 1 : 2);
});

it('does not take a link that a look-up finds for the link of a reset that no read has shown', async () => {
  const { rig } = await adopted();
  const made = rig.standIn.resetByHand(jids[0]!);
  await rig.change('vip', { unseenResetAt: Date.now(), verificationOwedAt: Date.now() + 3_600_000 });
  const rotated = await rig.ask('bot', { group: made });
  expect(rotated).toMatchObject({ status: 'rotated', inviteCode: rig.standIn.codeOf(jids[0]!) });
  await rig.later('vip');
  expect(rig.laterOf('vip').map(({ reason }) => reason)).toEqual(['request']);
});

it('fails with one sentence for a link that nobody knows, after one read', async () => {
  const { rig, reads } = await adopted();
  const dead = linkTo('GoneForEver1234567890x');
  const message =
    /^group_not_found: no group in the configuration file has or had this link, and .*bot: Group not found/;
  await Promise.all(
    Array.from({ length: 5 }, (_, i) =>
      expect(rig.ask('bot', { group: dead, requestId: `r${i}` })).rejects.toThrow(message),
    ),
  );
  await expect(rig.ask('bot', { group: 'GoneForEver1234567890x' })).rejects.not.toThrow(/vip|Gone/);
  expect([calls(rig, 'reset'), calls(rig, 'info')]).toEqual([0, reads + 1]);
  await until('its failure events', () => rig.eventsOf('unknown').length === 6);
  expect(rig.eventsOf('unknown')[0]).toMatchObject({
    type: 'rotation.failed',
    error: { code: 'group_not_found', httpStatus: 404 },
    request: { requestId: 'r0' },
  });
  expect(JSON.stringify([rig.logged, rig.events])).not.toContain('GoneForEver');
});

it('does not rotate a WhatsApp group that is not in the file', async () => {
  const { rig, reads } = await adopted();
  const foreign = linkTo(rig.standIn.codeOf(jids[5]!));
  for (let i = 0; i < 2; i++) {
    await expect(rig.ask('bot', { group: foreign })).rejects.toThrow(
      `the link is of a WhatsApp group that is not in the configuration file (${jids[5]})`,
    );
  }
  expect([calls(rig, 'reset'), calls(rig, 'info')]).toEqual([0, reads + 1]);
});

it('retries the look-up as a read, and waits while the instance is paused', async () => {
  const { rig, reads } = await adopted();
  const made = rig.standIn.resetByHand(jids[0]!);
  rig.standIn.faults.next({ kind: 'serverError', effect: false }, { endpoint: 'info' });
  rig.standIn.faults.next({ kind: 'cut', effect: false }, { endpoint: 'info' });
  expect(await rig.ask('bot', { group: made })).toMatchObject({ status: 'rotated', group: 'vip' });
  expect(calls(rig, 'info')).toBe(reads + 3);

  const next = rig.standIn.resetByHand(jids[0]!);
  rig.standIn.setConnection('bot', 'disconnected');
  await rig.queue('bot').add('rotate', { group: next });
  await until('the instance to be paused', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  expect(calls(rig, 'info')).toBe(reads + 4);
  expect(await rig.queue('bot').getFailedCount()).toBe(0);
});

it("names the other instance's queue for its link, and serves a link that nobody knew wherever it is", async () => {
  const { rig, reads } = await adopted(
    file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot'), group('b', 1, ', instance: bot2')),
  );
  await rig.adopted('b');
  const code = rig.standIn.codeOf(jids[1]!);
  await expect(rig.ask('bot', { group: linkTo(code) })).rejects.toThrow(
    'group "b" belongs to instance "bot2": push it to the queue "rotations-bot2"',
  );
  const made = rig.standIn.resetByHand(jids[1]!);
  expect(await rig.ask('bot', { group: made })).toMatchObject({ status: 'rotated', group: 'b' });
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toMatchObject([{ instance: 'bot2' }]);
  expect(reads).toBeGreaterThan(0);
});

it('refuses at once, without a call, what is neither a group nor a link', async () => {
  const { rig, reads } = await adopted();
  for (const [name, message] of [
    ['no-such-group-1', 'unknown group "no-such-group-1": it is not in the configuration file'],
    ['Vip-Group', 'unknown group "Vip-Group": it is not in the configuration file'],
    ['Onboarding', 'unknown group "Onboarding": it is not in the configuration file'],
    ['https://wa.me/5511999999999', /^bad request \(group: is a link to a person/],
    ['https://whatsapp.com/channel/0029VaAbCdEfGhIjKlMnOp', /^bad request \(group: is a link to a channel/],
    ['5511999999999@c.us', /^bad request \(group: is the address of a person/],
    ['https://chat.whatsapp.com/', /^bad request \(group: is not a whole invite link/],
  ] as const) {
    await expect(rig.ask('bot', { group: name })).rejects.toThrow(message);
  }
  expect([calls(rig, 'reset'), calls(rig, 'info')]).toEqual([0, reads]);
});

it('answers a replaced link without waiting for a reset that is in flight to fail or succeed twice', async () => {
  const { rig, code } = await adopted();
  await rig.ask('bot', { group: 'vip' });
  await inFlight(rig, 'vip', 0, 300);
  expect(await rig.ask('bot', { group: code })).toMatchObject({
    status: 'satisfied',
    inviteCode: rig.standIn.codeOf(jids[0]!),
  });
  expect(calls(rig, 'reset')).toBe(2);
});

it('asks soon again while the only instance that can look a link up is paused', async () => {
  const { rig } = await adopted(
    file(`${bot}, ${bot2}`, group('vip', 0, ', instance: bot'), group('b', 1, ', instance: bot2')),
    { groups: [{ jid: jids[0]! }, { jid: jids[1]!, admins: ['bot2'] }] },
  );
  await rig.adopted('b');
  const made = rig.standIn.resetByHand(jids[1]!);
  rig.standIn.setConnection('bot2', 'disconnected');
  await rig.queue('bot2').add('rotate', { group: 'b' });
  await until('the instance to be paused', () => rig.logged.some(({ event }) => event === 'gate.closed'));
  const opensAt = Number(await rig.redis.hget(rig.keys.gate('bot2'), 'until'));
  await rig.queue('bot').add('rotate', { group: made, anyInstance: true });
  const [job] = await until('the job to wait', async () => {
    const delayed = await rig.queue('bot').getDelayed();
    return delayed.length > 0 && delayed;
  });
  expect(job!.timestamp + job!.delay).toBeLessThan(opensAt - 10_000);
});
