import { describe, expect, it } from 'vitest';
import { redisTime } from '../../src/redis/database.ts';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const one = (rest = '') => `
instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: "${jids[0]}", every: 1h${rest} }]
verify: off`;

/** Due at once. */
const now = one(', firstSeen: rotate');
/** Not due for an hour. */
const idle = one(', firstSeen: wait');

describe('a file with three groups in two instances', () => {
  it('publishes each link when it first sees the group, resolves codes and links once, and rotates each on its interval', async () => {
    const rig = await makeRig({
      yaml: `
instances:
  - { name: bot, tokenEnv: TOKEN }
  - { name: bot2, tokenEnv: TOKEN }
defaults: { firstSeen: rotate }
groups:
  - { id: by-jid, identifier: "${jids[0]}", instance: bot, every: 2s }
  - { id: by-code, identifier: CODE23456789012345, instance: bot, every: 1h }
  - { id: by-link, identifier: "https://chat.whatsapp.com/LINK34567890123456", instance: bot2, every: 1h }
verify: off`,
      standIn: {
        groups: [
          { jid: jids[0]! },
          { jid: jids[1]!, code: 'CODE23456789012345' },
          { jid: jids[2]!, code: 'LINK34567890123456' },
        ],
      },
    });
    await rig.start();
    const byCode = await rig.later('by-code');
    const byLink = await rig.later('by-link');
    const second = await rig.later('by-jid', 1);

    expect(rig.eventsOf('by-code')[0]).toMatchObject({
      ...{ type: 'link.changed', reason: 'adopted', inviteCode: 'CODE23456789012345', jid: jids[1] },
      ...{ previousInviteCode: null, previousRevision: null },
    });
    expect(byCode).toMatchObject({
      ...{ jid: jids[1], previousInviteCode: 'CODE23456789012345' },
      previousRevision: rig.eventsOf('by-code')[0]!.revision,
    });
    expect(byLink).toMatchObject({ jid: jids[2], instance: 'bot2', type: 'link.rotated', reason: 'schedule' });
    expect(second.revision).toBeGreaterThan(rig.laterOf('by-jid')[0]!.revision!);
    expect(second.previousRevision).toBe(rig.laterOf('by-jid')[0]!.revision);
    expect(rig.eventsOf('by-jid')[0]).toMatchObject({ reason: 'adopted' });
    for (const [jid, event] of [
      [jids[1], byCode],
      [jids[2], byLink],
    ] as const) {
      expect(event.inviteLink).toBe(rig.standIn.linkOf(jid!));
      // The first call uses the identifier of the file, later calls the JID.
      expect(rig.standIn.log.of({ endpoint: 'info', jid: jid! })).toHaveLength(1);
      expect(rig.standIn.log.of({ endpoint: 'reset', jid: jid! }).map((r) => r.identifier)).toEqual([jid]);
    }
    expect(rig.standIn.log.of({ endpoint: 'info', jid: jids[0]! })).toHaveLength(1);
  });

  it('neither rotates nor reads a group again after a restart', async () => {
    const rig = await makeRig({ yaml: now });
    const service = await rig.start();
    await rig.later('vip');
    const record = await rig.record('vip');
    await service.close();
    await rig.start();
    await until(
      'a tick after the restart',
      async () => Number(await rig.redis.get(rig.keys.lastTick)) > record.rotatedAt!,
    );
    expect((await rig.record('vip')).dueAt).toBe(record.dueAt);
    expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
    expect(rig.standIn.log.of({ endpoint: 'info' })).toHaveLength(1);
  });

  it('publishes to every results queue', async () => {
    const rig = await makeRig({ yaml: `${one()}\nresults: { queues: [invite-links, mirror] }` });
    await rig.start();
    const event = await rig.event('vip');
    const jobs = await until('the mirror', async () => {
      const [job] = (await rig.redis.hgetall(`${rig.prefix}:mirror:${event.id}`)).name ? [event.id] : [];
      return job;
    });
    expect(jobs).toBe(event.id);
  });
});

describe('one-offs', () => {
  it('answers a raw producer with the live link', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    const result = await rig.ask('bot', { group: 'vip', reason: 'leaked', requestId: 'r-1', requestedBy: 'me' });
    const code = rig.standIn.codeOf(jids[0]!);
    expect(result).toEqual({
      status: 'rotated',
      group: 'vip',
      jid: jids[0],
      inviteCode: code,
      inviteLink: `https://chat.whatsapp.com/${code}`,
      revision: expect.any(Number),
      rotatedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    const event = await rig.later('vip');
    expect(event).toMatchObject({
      type: 'link.rotated',
      reason: 'request',
      request: { requestId: 'r-1', requestedBy: 'me', reason: 'leaked' },
      inviteCode: code,
      id: `vip.${event.revision}`,
    });
  });

  it('finds a group by its JID, too', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    expect(await rig.ask('bot', { group: jids[0] })).toMatchObject({ status: 'rotated', group: 'vip' });
  });

  it('answers fifty stamped requests for one group with one reset', async () => {
    const rig = await makeRig({ yaml: idle, standIn: { latency: { minMs: 20, maxMs: 60 } } });
    await rig.start();
    const requestedAt = await redisTime(rig);
    const results = (await Promise.all(
      Array.from({ length: 50 }, (_, i) => rig.ask('bot', { group: 'vip', requestId: `r${i}`, requestedAt })),
    )) as { status: string; inviteCode: string }[];
    expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(1);
    expect(results.filter(({ status }) => status === 'rotated')).toHaveLength(1);
    expect(results.filter(({ status }) => status === 'satisfied')).toHaveLength(49);
    expect(new Set(results.map(({ inviteCode }) => inviteCode))).toEqual(new Set([rig.standIn.codeOf(jids[0]!)]));
    expect(rig.laterOf('vip')).toHaveLength(1);
  });

  it('makes one reset for each request without a stamp that comes after the last one ended', async () => {
    const rig = await makeRig({ yaml: idle, standIn: { latency: { minMs: 20, maxMs: 60 } } });
    await rig.start();
    for (let i = 0; i < 4; i++) expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(4);
    await rig.later('vip', 3);
    const revisions = rig.events.map(({ revision }) => revision!);
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
    expect(rig.events.map(({ previousRevision }) => previousRevision)).toEqual([null, ...revisions.slice(0, -1)]);
  });

  const bad: [string, unknown, RegExp][] = [
    ['no group', {}, /group: .*expected/],
    ['a group that is not text', { group: 7 }, /group: /],
    ['data that is not an object', 'vip', /bad request/],
    [
      'a group that is not in the file',
      { group: 'nobody' },
      /unknown group "nobody": it is not in the configuration file/,
    ],
    [
      'a group of another instance',
      { group: 'other' },
      /belongs to instance "bot2": push it to the queue "rotations-bot2"/,
    ],
    ['a reason that is too long', { group: 'vip', reason: 'x'.repeat(501) }, /reason: /],
  ];
  it.each(bad)('refuses %s at once, without a call or a retry', async (_name, data, message) => {
    const rig = await makeRig({
      yaml: `
instances: [{ name: bot, tokenEnv: TOKEN }, { name: bot2, tokenEnv: TOKEN }]
defaults: { every: 1h, firstSeen: wait }
groups:
  - { id: vip, identifier: "${jids[0]}", instance: bot }
  - { id: other, identifier: "${jids[1]}", instance: bot2 }
verify: off`,
    });
    await rig.start();
    await expect(rig.ask('bot', data, 'rotate', { attempts: 3 })).rejects.toThrow(message);
    expect(rig.standIn.log.of({ endpoint: 'reset' })).toEqual([]);
  });

  it('refuses a job with another name', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    await expect(rig.ask('bot', { group: 'vip' }, 'rotat')).rejects.toThrow(
      /unknown job name "rotat": expected "rotate"/,
    );
  });

  it('rotates a disabled group on request, and schedules nothing for it', async () => {
    const rig = await makeRig({ yaml: one(', enabled: false') });
    await rig.start();
    expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    expect(await rig.later('vip')).toMatchObject({ nextRotationAt: null });
  });
});

describe('a live edit', () => {
  it('registers a new group without a restart, and keeps the last valid file after a broken edit', async () => {
    const rig = await makeRig({ yaml: idle });
    const service = await rig.start();
    rig.edit('instances: [{ nam: bot }]');
    service.reload();
    await until('the broken edit to be reported', () => rig.logged.some(({ event }) => event === 'config.kept'));
    expect(rig.logged.filter(({ event }) => event === 'config.broken').map(({ msg }) => msg)).toEqual([
      `${rig.file}:2:1 groups: is required`,
      `${rig.file}:5:13 instances[0].name: is required`,
      `${rig.file}:5:15 instances[0].nam: unknown key "nam"; did you mean "name"?`,
    ]);
    expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    rig.edit(`
instances: [{ name: bot, tokenEnv: TOKEN }]
groups:
  - { id: vip, identifier: "${jids[0]}", every: 1h, firstSeen: wait }
  - { id: late, identifier: "${jids[1]}", every: 1h }
verify: off`);
    expect(await rig.event('late')).toMatchObject({ type: 'link.changed', reason: 'adopted' });
  });
});

describe('verification', () => {
  it('publishes a link that somebody reset by hand', async () => {
    const rig = await makeRig({ yaml: one().replace('verify: off', 'verify: { every: 1s }') });
    await rig.start();
    const first = await rig.event('vip');
    const code = rig.standIn.resetByHand(jids[0]!);
    expect(await rig.event('vip', 1)).toMatchObject({
      type: 'link.changed',
      reason: 'drift',
      inviteCode: code,
      previousInviteCode: first.inviteCode,
      previousRevision: first.revision,
    });
    expect(rig.standIn.log.of({ endpoint: 'reset' })).toEqual([]);
  });
});
