/** A server that refuses calls for its limit gets only a few calls, whatever reset time it announces. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const count = { 'x-ratelimit-limit': '100', 'x-ratelimit-remaining': '0' };
const headers: readonly (readonly [string, (nowMs: number) => Record<string, string>])[] = [
  ['retry-after', () => ({ 'retry-after': '30' })],
  ['nothing', () => ({})],
  ['seconds-from-now', () => ({ ...count, 'x-ratelimit-reset': '30' })],
  ['milliseconds', (nowMs) => ({ ...count, 'x-ratelimit-reset': String(nowMs + 30_000) })],
  ['milliseconds-from-now', () => ({ ...count, 'x-ratelimit-reset': '30000' })],
  ['past', (nowMs) => ({ ...count, 'x-ratelimit-reset': String(Math.floor(nowMs / 1000) - 5) })],
];
const perInstance = 6;

it('leads to a few calls at a time, and fails no job', async () => {
  const names = headers.map(([name]) => name);
  const groups = names.flatMap((name, n) =>
    Array.from({ length: perInstance }, (_, i) => ({ id: `${name}-${i}`, name, jid: jids[n * perInstance + i]! })),
  );
  const rig = await makeRig({
    yaml: `
instances: [${names.map((name, n) => `{ name: ${name}, tokenEnv: TOKEN_${n} }`).join(', ')}]
defaults: { every: 1h, firstSeen: wait }
groups: [${groups.map(({ id, name, jid }) => `{ id: ${id}, identifier: "${jid}", instance: ${name} }`).join(', ')}]
verify: off`,
    env: Object.fromEntries(names.map((_, n) => [`TOKEN_${n}`, `token-of-${n}-0123456789`])),
    standIn: {
      instances: names,
      tokens: names.map((_, n) => ({ token: `token-of-${n}-0123456789` })),
      groups: groups.map(({ jid }) => ({ jid, admins: names, members: names })),
    },
    api: 'timeout: 4s, settleTime: 5s',
  });
  await rig.start();
  await rig.adopted(...groups.map(({ id }) => id));
  const given = new Map(headers);
  rig.standIn.faults.random(({ instance }) => {
    const of = given.get(instance ?? '');
    if (of === undefined) return null;
    const body = { success: false, error: { message: 'Rate limit exceeded. Try again later.' } };
    return { kind: 'answer', status: 429, body, effectAfterMs: null, headers: of(Date.now()) };
  });
  const asked = groups.map(({ id, name }) => rig.queue(name).add('rotate', { group: id }));
  await Promise.all(asked);
  const refused = (name: string) => rig.standIn.log.of({ instance: name, status: 429 }).length;
  await until('each to be refused', () => names.every((name) => refused(name) > 0));
  await sleep(20_000);
  // Five were in flight at first.
  for (const name of names) expect(refused(name), name).toBeLessThanOrEqual(5 + 7);
  expect(rig.events.filter(({ type }) => type === 'rotation.failed')).toEqual([]);
});
