/**
 * Failures are attributed to their cause. A group that is always refused, with any status and text, costs its
 * neighbours one pause, and only that group is reported as failing. An instance that fails for all groups causes one
 * alarm and few calls.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import type { Fault } from '../../dev/standin/faults.ts';
import { endPause, resume } from '../support/gates.ts';
import { jids, makeRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** The answer to every reset of one group: status, text, and the error code that is reported. */
const refusals = [
  ['403 Forbidden', 403, 'Forbidden', 'unauthorized'],
  ['401 not-authorized', 401, 'not-authorized', 'unauthorized'],
  ['429 rate-overlimit', 429, 'rate-overlimit', 'throttled'],
  ['404 Instance not found', 404, 'Instance not found', 'instance_not_found'],
  ['404 item-not-found', 404, 'item-not-found', 'group_not_found'],
  ['428', 428, 'Connection Closed', 'instance_disconnected'],
  ['500', 500, 'internal-server-error', 'server_error'],
  ['400 in odd words', 400, 'no such thing', 'invalid_request'],
  ['503 not connected', 503, 'Instance is not connected to WhatsApp', 'instance_disconnected'],
  ['403 of another instance', 403, 'Instance token does not match this instance', 'wrong_instance'],
  ['403 must be admin', 403, 'Not authorized to reset group invite link (must be admin)', 'not_admin'],
] as const;
type Refusal = (typeof refusals)[number];

const perInstance = 5;
const botOf = (n: number) => `bot-${n}`;

/** One instance of five groups for each refusal. Its first group gets that refusal. */
async function poisoned(chosen: readonly Refusal[]) {
  const names = chosen.map((_, n) => botOf(n));
  const groups = names.flatMap((name, n) =>
    Array.from({ length: perInstance }, (_, i) => ({ id: `${name}-g${i}`, name, jid: jids[n * perInstance + i]! })),
  );
  const instances = names.map((name) => `{ name: ${name}, tokenEnv: TOKEN, rateLimit: { max: 5000, reserve: 0 } }`);
  const entries = groups.map(({ id, name, jid }) => `{ id: ${id}, identifier: "${jid}", instance: ${name} }`);
  const everyone = { admins: names, members: names };
  const rig = await makeRig({
    yaml: `
instances: [${instances.join(', ')}]
defaults: { every: 7d, firstSeen: wait }
groups: [${entries.join(', ')}]
verify: off`,
    standIn: { instances: names, groups: groups.map(({ jid }) => ({ jid, ...everyone })), limit: { limit: 10_000 } },
    api: 'timeout: 4s, settleTime: 5s',
  });
  const faults = new Map<string, Fault>(
    chosen.map(([, status, message], n) => {
      const body = { success: false, error: { message } };
      return [jids[n * perInstance]!, { kind: 'answer', status, body, effectAfterMs: null }];
    }),
  );
  rig.standIn.faults.random(({ endpoint, jid }) =>
    endpoint === 'reset' && jid !== null ? (faults.get(jid) ?? null) : null,
  );
  await rig.start();
  await rig.adopted(...groups.map(({ id }) => id));
  shortenPauses(rig, names);
  return rig;
}

/** Ends every pause soon after it began. */
function shortenPauses(rig: Rig, instances: readonly string[]): void {
  const { redis, keys, queue } = rig;
  let over = false;
  const run = (async () => {
    while (!over) {
      for (const name of instances) {
        const [untilMs, blamedUntil] = await redis.hmget(keys.gate(name), 'until', 'blamedUntil');
        if (Number(untilMs ?? 0) !== 0 || Number(blamedUntil ?? 0) !== 0) await endPause(rig, name);
        // In any case: a job that found the pause may pause its queue after the pause has ended.
        await queue(name).removeRateLimitKey();
      }
      await sleep(300);
    }
  })();
  onTestFinished(async () => {
    over = true;
    await run;
  });
}

const failuresOf = (rig: Rig, instance: string) =>
  rig.events.flatMap((event) => (event.type === 'rotation.failed' && event.instance === instance ? [event] : []));
const closedOf = (rig: Rig, instance?: string) =>
  rig.logged.filter((line) => line.event === 'gate.closed' && (instance === undefined || line.instance === instance));

it('pauses other groups at most once for a group that is always refused, and reports only that group', {
  timeout: 180_000,
}, async () => {
  const rig = await poisoned(refusals);
  await Promise.all(
    refusals.map(async ([name, , , code], n) => {
      const bot = botOf(n);
      const refused = () =>
        rig.ask(bot, { group: `${bot}-g0` }).then(
          () => 'rotated',
          (error: Error) => error.message,
        );
      let first = refused();
      for (let round = 0; round < 3; round++) {
        for (let i = 1; i < perInstance; i++) {
          expect(await rig.ask(bot, { group: `${bot}-g${i}` }), name).toMatchObject({ status: 'rotated' });
        }
        expect(await first, name).toContain(code);
        first = refused();
      }
      expect(await first, name).toContain(code);
      await until(`the failures of ${name}`, () => failuresOf(rig, bot).length === 4);
      expect(new Set(failuresOf(rig, bot).map(({ group }) => group)), name).toEqual(new Set([`${bot}-g0`]));
      expect(closedOf(rig, bot).length, name).toBeLessThanOrEqual(1);
    }),
  );
});

it('reads another group if none has work, and then reports the one that is refused', async () => {
  // The reasons that a successful read ends. An instance whose resets are throttled waits for a reset.
  const provable = refusals.filter(([, , , code]) => code !== 'throttled');
  const rig = await poisoned(provable);
  await Promise.all(
    provable.map(async ([name, , , code], n) => {
      const bot = botOf(n);
      await expect(rig.ask(bot, { group: `${bot}-g0` }), name).rejects.toThrow(code);
      expect(rig.standIn.log.of({ endpoint: 'reset', instance: bot }).length, name).toBeLessThanOrEqual(5);
      expect(closedOf(rig, bot).length, name).toBeLessThanOrEqual(1);
      await until(`the gate of ${name} to open`, async () => (await rig.redis.exists(rig.keys.gate(bot))) === 0);
    }),
  );
});

const many = (count: number, rest = '') => `
instances: [{ name: bot, tokenEnv: TOKEN, rateLimit: { max: 5000, reserve: 0 } }]
defaults: { every: 1h, firstSeen: wait }
groups: [${Array.from({ length: count }, (_, i) => `{ id: g${i}, identifier: "${jids[i]}" }`).join(', ')}]
verify: off
${rest}`;
const idsOf = (count: number) => Array.from({ length: count }, (_, i) => `g${i}`);
const world = (count: number) => ({
  limit: { limit: 10_000 },
  groups: jids.slice(0, count).map((jid) => ({ jid })),
});

it('logs one alarm, makes few calls and fails no job when all groups of an instance fail', {
  timeout: 180_000,
}, async () => {
  const faults: readonly (readonly [string, Fault])[] = [
    ['server-error', { kind: 'serverError', effect: false }],
    ['late-error', { kind: 'serverError', effect: true }],
    ['cut', { kind: 'cut', effect: false }],
    ['gone', { kind: 'answer', status: 428, body: '', effectAfterMs: null }],
  ];
  const count = 10;
  const groups = faults.flatMap(([name], n) =>
    Array.from({ length: count }, (_, i) => ({ id: `${name}-${i}`, name, jid: jids[n * count + i]! })),
  );
  const names = faults.map(([name]) => name);
  const rig = await makeRig({
    yaml: `
instances: [${names.map((name) => `{ name: ${name}, tokenEnv: TOKEN, rateLimit: { max: 5000, reserve: 0 } }`).join(', ')}]
defaults: { every: 1h, firstSeen: wait }
groups: [${groups.map(({ id, name, jid }) => `{ id: ${id}, identifier: "${jid}", instance: ${name} }`).join(', ')}]
verify: off`,
    standIn: {
      instances: names,
      groups: groups.map(({ jid }) => ({ jid, admins: names, members: names })),
      limit: { limit: 10_000 },
    },
    api: 'timeout: 4s, settleTime: 5s',
    retry: 'attempts: 4, baseDelay: 1s, maxDelay: 2s',
  });
  await rig.start();
  await rig.adopted(...groups.map(({ id }) => id));
  const failing = new Map(faults);
  rig.standIn.faults.random(({ instance }) => failing.get(instance ?? '') ?? null);
  for (const { id } of groups) await rig.lapse(id, 1);

  await Promise.all(
    names.map(async (name) => {
      const calls = () => rig.standIn.log.of({ instance: name }).length;
      await until(`the pause of ${name}`, () => closedOf(rig, name).length > 0);
      const atFirst = calls();
      const extended = () => rig.logged.some((line) => line.event === 'gate.extended' && line.instance === name);
      await until(`a probe of ${name} to fail`, extended);
      // The calls in flight when the gate closed, and the probe.
      expect(calls() - atFirst, name).toBeLessThanOrEqual(8);
      failing.delete(name);
      const workingAt = performance.now();
      // The pause for a disconnected phone lasts minutes.
      if (name === 'gone') {
        await resume(rig, name);
      }
      const made = () => groups.filter((one) => one.name === name && rig.laterOf(one.id).length > 0).length;
      await until(`all groups of ${name}`, () => made() === count);
      expect(performance.now() - workingAt, name).toBeLessThan(60_000);
      expect(closedOf(rig, name), name).toHaveLength(1);
    }),
  );
  expect(rig.events.filter(({ type }) => type === 'rotation.failed')).toEqual([]);
});

it('is not paused for twenty groups that are known to fail', async () => {
  const count = 21;
  const rig = await makeRig({ yaml: many(count), standIn: world(count) });
  await rig.start();
  await rig.adopted(...idsOf(count));
  const failing = idsOf(20);
  for (const [i, id] of failing.entries()) {
    rig.standIn.group(jids[i]!).members.delete('bot');
    const failure = { code: 'group_not_found', message: 'gone', httpStatus: 404, at: 1, count: 1, nextAttemptAt: null };
    await rig.change(id, { failure });
  }
  const ends = await Promise.allSettled(failing.map((id) => rig.ask('bot', { group: id })));
  expect(ends.filter(({ status }) => status === 'rejected')).toHaveLength(20);
  expect(rig.standIn.log.of({ endpoint: 'reset', status: 404 })).toHaveLength(20);
  expect(await rig.ask('bot', { group: 'g20' })).toMatchObject({ status: 'rotated' });
  expect(closedOf(rig)).toEqual([]);
});
