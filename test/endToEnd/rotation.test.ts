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
/** Not due by itself for an hour. */
const idle = one(', firstSeen: wait');

describe('a file with three groups in two instances', () => {
  it('publishes each link at first sight, resolves codes and links once, and rotates each on its interval', async () => {
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
      // Once by what the file says, and by JID from then on.
      expect(rig.standIn.log.of({ endpoint: 'info', jid: jid! })).toHaveLength(1);
      expect(rig.standIn.log.of({ endpoint: 'reset', jid: jid! }).map((r) => r.identifier)).toEqual([jid]);
    }
    expect(rig.standIn.log.of({ endpoint: 'info', jid: jids[0]! })).toHaveLength(1);
  });

  it('neither rotates nor reads again at a restart', async () => {
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

  it('finds a group by its JID as well', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    expect(await rig.ask('bot', { group: jids[0] })).toMatchObject({ status: 'rotated', group: 'vip' });
  });

  it('makes one reset of fifty stamped requests for one group', async () => {
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

  it('makes a reset each for requests without a stamp that come one after the other', async () => {
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
    ['a group that is no text', { group: 7 }, /group: /],
    ['no object at all', 'vip', /bad request/],
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
    ['a reason of absurd length', { group: 'vip', reason: 'x'.repeat(501) }, /reason: /],
  ];
  it.each(bad)('refuses %s at once, with no call and no retry', async (_name, data, message) => {
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

  it('refuses a job of another name', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    await expect(rig.ask('bot', { group: 'vip' }, 'rotat')).rejects.toThrow(
      /unknown job name "rotat": expected "rotate"/,
    );
  });

  it('serves a disabled group, and leaves its schedule empty', async () => {
    const rig = await makeRig({ yaml: one(', enabled: false') });
    await rig.start();
    expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    expect(await rig.later('vip')).toMatchObject({ nextRotationAt: null });
  });
});

describe('refusals', () => {
  const cases = [
    ['a group that the number is not an admin of', ['bot'], 'not_admin', 403],
    ['a group that the number is not in', [], 'group_not_found', 404],
  ] as const;
  it.each(cases)('reports %s once, and tries again later', async (_name, members, code, httpStatus) => {
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

  it('reports a group that the number is not in before its first rotation is due', async () => {
    const rig = await makeRig({ yaml: idle, standIn: { groups: [{ jid: jids[0]!, admins: [], members: [] }] } });
    await rig.start();
    const event = await rig.later('vip');
    expect(event).toMatchObject({ type: 'rotation.failed', reason: 'adopted', error: { code: 'group_not_found' } });
    const { failure, dueAt, readDueAt } = await rig.record('vip');
    expect(event).toMatchObject({ nextAttemptAt: new Date(readDueAt!).toISOString() });
    expect(readDueAt! - failure!.at).toBe(300_000);
    expect(dueAt! - failure!.at).toBeGreaterThan(3_500_000);
  });

  it.each(['empty', 'missing'] as const)('resets a group whose link is %s in the answer, blind', async (link) => {
    const rig = await makeRig({ yaml: idle });
    rig.standIn.group(jids[0]!).link = link;
    await rig.start();
    await until('the read at first sight', async () => (await rig.record('vip')).unverified === 1);
    expect(rig.events).toEqual([]);
    expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    expect(await rig.later('vip')).toMatchObject({ previousInviteCode: null, previousRevision: null });
    expect(rig.standIn.log.of({ endpoint: 'info' })).toHaveLength(1);
  });

  it('fails the one-off that met it, with the code in front, and never blocks the next one', async () => {
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

describe('faults', () => {
  it('ends a 500 and then a 200 as one event', async () => {
    const rig = await makeRig({ yaml: now });
    rig.standIn.faults.next({ kind: 'serverError', effect: false }, { endpoint: 'reset' });
    await rig.start();
    const event = await rig.later('vip');
    expect(event).toMatchObject({ type: 'link.rotated', inviteCode: rig.standIn.codeOf(jids[0]!) });
    expect(rig.laterOf('vip')).toHaveLength(1);
    expect(rig.standIn.log.of({ endpoint: 'reset' }).map(({ status }) => status)).toEqual([500, 200]);
  });

  it('does the same for a raw producer, who asked for no attempts', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    rig.standIn.faults.next({ kind: 'serverError', effect: false }, {}, 2);
    expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    await rig.later('vip');
    expect(rig.laterOf('vip').map(({ type }) => type)).toEqual(['link.rotated']);
  });

  it('gives up after the attempts of the file, and says that the link is uncertain', async () => {
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
    ['cut after the effect', { kind: 'cut', effect: true }],
    ['a 500 after the effect', { kind: 'serverError', effect: true }],
    ['a web page with status 502 after the effect', { kind: 'serverError', effect: true, status: 502, html: true }],
    ['silence, and the effect', { kind: 'silence', effectAfterMs: 10 }],
    ['a body that breaks off', { kind: 'badBody', body: 'cut' }],
    ['a body that is a web page', { kind: 'badBody', body: 'html' }],
    ['an answer about another group', { kind: 'badBody', body: 'otherGroup' }],
    ['an effect that comes late', { kind: 'lateEffect', effectAfterMs: 700 }],
  ] as const;
  it.each(lost)('recovers from %s by reading back, with no second reset', async (_name, fault) => {
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

  it('resets again after a call that was lost before its effect, once it can have none any more', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    await rig.ask('bot', { group: 'vip' });
    rig.standIn.faults.next({ kind: 'cut', effect: false }, { endpoint: 'reset' });
    expect(await rig.ask('bot', { group: 'vip' })).toMatchObject({ status: 'rotated' });
    const [, lostReset, again] = rig.standIn.log.of({ endpoint: 'reset' });
    expect(again!.begin - lostReset!.begin).toBeGreaterThanOrEqual(2_000);
    expect(rig.events.map(({ type }) => type)).not.toContain('rotation.failed');
  });

  it('hands nobody a link that an uncertain reset may have killed', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    const requestedAt = await redisTime(rig);
    await rig.ask('bot', { group: 'vip', requestedAt });
    rig.standIn.faults.next({ kind: 'cut', effect: true }, { endpoint: 'reset' });
    const unstamped = rig.ask('bot', { group: 'vip' });
    // Answered by the first reset, but by now the second has killed that link.
    await until('the lost reset', () => rig.standIn.log.of({ endpoint: 'reset' })[1]?.effect);
    const stamped = (await rig.ask('bot', { group: 'vip', requestedAt })) as { inviteCode: string };
    expect(rig.standIn.isLive(stamped.inviteCode)).toBe(true);
    await unstamped;
  });

  it('publishes to every results queue named', async () => {
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

describe('a live edit', () => {
  it('takes in a new group without a restart, and keeps the last good file after a broken edit', async () => {
    const rig = await makeRig({ yaml: idle });
    await rig.start();
    rig.edit('instances: [{ nam: bot }]');
    await until('the broken edit to be told', () => rig.logged.some(({ event }) => event === 'config.kept'));
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
  it('adopts a link that was reset by hand', async () => {
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
