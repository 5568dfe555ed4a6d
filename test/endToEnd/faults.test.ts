import { describe, expect, it } from 'vitest';
import { redisTime } from '../../src/redis/database.ts';
import { bot, file, group } from '../support/edited.ts';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** Due at once. */
const now = file(bot, group('vip', 0, ', firstSeen: rotate'));
/** Not due for an hour. */
const idle = file(bot, group('vip', 0));

describe('a refused call', () => {
  const cases = [
    ['a group that the instance is not an admin of', ['bot'], 'not_admin', 403],
    ['a group that the instance is not in', [], 'group_not_found', 404],
  ] as const;
  it.each(cases)('is reported once for %s, and made again later', async (_name, members, code, httpStatus) => {
    const rig = await makeRig({ yaml: now, standIn: { groups: [{ jid: jids[0]!, admins: [], members }] } });
    await rig.start();
    const event = await rig.later('vip');
    const shown = members.length === 0 ? null : rig.standIn.linkOf(jids[0]!);
    expect(event).toMatchObject({
      type: 'rotation.failed',
      reason: 'schedule',
      error: { code, httpStatus },
      inviteLink: shown,
      linkUncertain: false,
    });
    const record = await rig.record('vip');
    expect(record.dueAt! - record.failure!.at).toBe(300_000);
    expect(event).toMatchObject({ nextAttemptAt: new Date(record.dueAt!).toISOString() });
    expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(members.length);
  });

  it('is reported for a group that the instance is not in before its first rotation is due', async () => {
    const rig = await makeRig({ yaml: idle, standIn: { groups: [{ jid: jids[0]!, admins: [], members: [] }] } });
    await rig.start();
    const event = await rig.later('vip');
    expect(event).toMatchObject({ type: 'rotation.failed', reason: 'adopted', error: { code: 'group_not_found' } });
    const { failure, dueAt, readDueAt } = await rig.record('vip');
    expect(event).toMatchObject({ nextAttemptAt: new Date(readDueAt!).toISOString() });
    expect(readDueAt! - failure!.at).toBe(300_000);
    expect(dueAt! - failure!.at).toBeGreaterThan(3_500_000);
  });

  it.each(['empty', 'missing'] as const)(
    'does not keep a group from being reset whose link is %s in the answer',
    async (link) => {
      const rig = await makeRig({ yaml: idle });
      rig.standIn.group(jids[0]!).link = link;
      await rig.start();
      await until('the first read', async () => (await rig.record('vip')).unverified === 1);
      expect(rig.events).toEqual([]);
      expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
      expect(await rig.later('vip')).toMatchObject({ previousInviteCode: null, previousRevision: null });
      expect(rig.standIn.log.of({ endpoint: 'info' })).toHaveLength(1);
    },
  );

  it('fails its one-off with the code in front, and does not block the next one', async () => {
    const rig = await makeRig({ yaml: idle, standIn: { groups: [{ jid: jids[0]!, admins: [], members: ['bot'] }] } });
    await rig.start();
    await expect(rig.ask('bot', { group: 'vip', requestId: 'r-9' })).rejects.toThrow(/^not_admin: Not authorized/);
    expect(await rig.later('vip')).toMatchObject({
      type: 'rotation.failed',
      reason: 'request',
      request: { requestId: 'r-9' },
    });
    rig.standIn.group(jids[0]!).admins.add('bot');
    expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    expect((await rig.record('vip')).failure).toBeNull();
  });
});

describe('a fault', () => {
  it('of status 500 that a 200 follows is published as one event', async () => {
    const rig = await makeRig({ yaml: now });
    rig.standIn.faults.next({ kind: 'serverError', effect: false }, { endpoint: 'reset' });
    await rig.start();
    const event = await rig.later('vip');
    expect(event).toMatchObject({ type: 'link.rotated', inviteCode: rig.standIn.codeOf(jids[0]!) });
    expect(rig.laterOf('vip')).toHaveLength(1);
    expect(rig.standIn.log.of({ endpoint: 'reset' }).map(({ status }) => status)).toEqual([500, 200]);
  });

  it('is retried for a raw producer that sets no attempts', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    rig.standIn.faults.next({ kind: 'serverError', effect: false }, {}, 2);
    expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    await rig.later('vip');
    expect(rig.laterOf('vip').map(({ type }) => type)).toEqual(['link.rotated']);
  });

  it('fails the one-off after the configured attempts, with an uncertain link', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    rig.standIn.faults.next({ kind: 'serverError', effect: false }, { endpoint: 'reset' }, 4);
    await expect(rig.ask('bot', { group: 'vip' })).rejects.toThrow(/^server_error: /);
    expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(4);
    expect(await rig.later('vip')).toMatchObject({
      type: 'rotation.failed',
      linkUncertain: true,
      error: { httpStatus: 500 },
    });
  });

  const lost = [
    ['a connection cut after the effect', { kind: 'cut', effect: true }],
    ['a 500 after the effect', { kind: 'serverError', effect: true }],
    ['a web page with status 502 after the effect', { kind: 'serverError', effect: true, status: 502, html: true }],
    ['an effect without an answer', { kind: 'silence', effectAfterMs: 10 }],
    ['a body that breaks off', { kind: 'badBody', body: 'cut' }],
    ['a body that is a web page', { kind: 'badBody', body: 'html' }],
    ['an answer about another group', { kind: 'badBody', body: 'otherGroup' }],
    ['an effect that comes late', { kind: 'lateEffect', effectAfterMs: 700 }],
  ] as const;
  it.each(lost)('such as %s is recovered by reading the link back, without a second reset', async (_name, fault) => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    await rig.ask('bot', { group: 'vip' });
    rig.standIn.faults.next(fault, { endpoint: 'reset' });
    const result = await rig.ask('bot', { group: 'vip', requestId: 'r-2' });
    const code = rig.standIn.codeOf(jids[0]!);
    expect(result).toMatchObject({ status: 'recovered', inviteCode: code });
    expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(2);
    expect(await rig.later('vip', 1)).toMatchObject({
      type: 'link.rotated',
      reason: 'recovery',
      inviteCode: code,
      request: { requestId: 'r-2' },
    });
  });

  it('before the effect leads to another reset once the first one can no longer take effect', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    await rig.ask('bot', { group: 'vip' });
    rig.standIn.faults.next({ kind: 'cut', effect: false }, { endpoint: 'reset' });
    expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    const [, lostReset, again] = rig.standIn.log.of({ endpoint: 'reset' });
    expect(again!.begin - lostReset!.begin).toBeGreaterThanOrEqual(6_000);
    expect(rig.events.map(({ type }) => type)).not.toContain('rotation.failed');
  });

  it('never answers a request with a link that an uncertain reset may have revoked', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    const requestedAt = await redisTime(rig);
    await rig.ask('bot', { group: 'vip', requestedAt });
    rig.standIn.faults.next({ kind: 'cut', effect: true }, { endpoint: 'reset' });
    const unstamped = rig.ask('bot', { group: 'vip' });
    // The first reset would answer it, but the second has revoked that link by now.
    await until('the lost reset', () => rig.standIn.log.of({ endpoint: 'reset' })[1]?.effect);
    const stamped = (await rig.ask('bot', { group: 'vip', requestedAt })) as { inviteCode: string };
    expect(rig.standIn.isLive(stamped.inviteCode)).toBe(true);
    await unstamped;
  });
});
