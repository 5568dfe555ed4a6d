/** What the server receives of periodic verification: its share of the limit, whatever else the token is used for. */

import { Queue } from 'bullmq';
import { expect, it } from 'vitest';
import type { WindowKind } from '../../dev/standin/limiter.ts';
import type { LoggedRequest } from '../../dev/standin/log.ts';
import { plannerQueue } from '../../src/contract/queueNames.ts';
import { bot, bot2, group } from '../support/edited.ts';
import { jids, makeRig, token } from '../support/rig.ts';
import { until } from '../support/until.ts';

const perMs = 1_000;
const limit = 40;
const count = 16;
/** Groups that are only verified, have a one-off, and have a scheduled reset. */
const [verified, asked, due] = [
  [0, 10],
  [10, 13],
  [13, count],
].map(([from, to]) => Array.from({ length: count }, (_, n) => n).slice(from, to)) as [number[], number[], number[]];

const unfinished = ['wait', 'prioritized', 'active', 'delayed'] as const;

function fileWith(verify: string): string {
  const limited = (instance: string) =>
    instance.replace(' }', `, rateLimit: { max: ${limit}, per: ${perMs}ms, reserve: 5 } }`);
  const groups = Array.from({ length: count }, (_, n) => group(`g${n}`, n, `, instance: ${n % 2 ? 'bot2' : 'bot'}`));
  return `
instances: [${limited(bot)}, ${limited(bot2)}]
defaults: { every: 1d, firstSeen: wait }
groups: [${groups.join(', ')}]
verify: ${verify}`;
}

function maxInAnyWindow(requests: readonly LoggedRequest[]): number {
  const times = requests.flatMap(({ countedAt }) => countedAt ?? []);
  return Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + perMs).length));
}

/** Two processes, with two instances that share one token. */
async function play(window: WindowKind) {
  const rig = await makeRig({
    yaml: fileWith('off'),
    // No call may time out on a busy machine: its group would wait.
    api: 'timeout: 10s, settleTime: 11s',
    standIn: {
      ...{ limit: { limit, perMs, window }, latency: { minMs: 1, maxMs: 40 } },
      groups: jids.slice(0, count).map((jid) => ({ jid })),
    },
  });
  const services = [await rig.start(), await rig.start()];
  const plans = new Queue(plannerQueue, { connection: rig.redis, prefix: rig.prefix });
  const logged = (event: string) => rig.logged.filter((line) => line.event === event).length;
  const edit = async (verify: string) => {
    const before = logged('config.reloaded');
    rig.edit(fileWith(verify));
    for (const service of services) service.reload();
    await until('both to have the edit', () => logged('config.reloaded') === before + services.length);
  };
  const ticks = async (times: number) => {
    for (let i = 0; i < times; i++) {
      const before = logged('plan.tick');
      await plans.add('plan', {});
      await until('a tick', () => logged('plan.tick') > before);
    }
  };
  const reads = () => rig.standIn.log.of({ endpoint: 'info' });
  return { rig, edit, ticks, reads, close: () => plans.close() };
}

async function verifies(window: WindowKind): Promise<void> {
  const { rig, edit, ticks, reads, close } = await play(window);
  await rig.adopted(...Array.from({ length: count }, (_, n) => `g${n}`));
  await ticks(2);
  expect(reads()).toHaveLength(count);

  // All are due at once. Meanwhile there is other work.
  for (let n = 0; n < count; n++) await rig.change(`g${n}`, { verifiedAt: 1, rotatedAt: 0 });
  for (const n of due) await rig.lapse(`g${n}`, 1);
  await edit('{ every: 1s, share: 10% }');
  const before = reads().length;
  const code = rig.standIn.resetByHand(jids[verified.at(-1)!]!);
  const answers = await Promise.all(asked.map((n) => rig.ask(n % 2 ? 'bot2' : 'bot', { group: `g${n}` })));
  expect(answers).toEqual(asked.map(() => expect.objectContaining({ status: 'rotated' })));
  expect(await rig.later(`g${verified.at(-1)}`)).toMatchObject({ reason: 'drift', inviteCode: code });
  // Within the stretched period: before any group is read a second time, but for those whose reads are in flight.
  const since = reads().slice(before);
  expect(since.findIndex(({ jid }) => jid === jids[verified.at(-1)!])).toBeLessThan(count + 4);
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(asked.length + due.length);
  await until('each link to be verified', () =>
    verified.every((n) => rig.standIn.log.of({ endpoint: 'info', jid: jids[n]! }).length >= 2),
  );
  const ofShare = reads().slice(count);
  expect(maxInAnyWindow(ofShare)).toBeLessThanOrEqual(4);

  await edit('{ every: 1s, share: 5% }');
  // Without those that had their slots before the edit.
  const from = Date.now() + 200;
  const later = () => reads().filter(({ begin }) => begin >= from);
  await until('reads by the new share', () => later().length >= 4);
  expect(maxInAnyWindow(later())).toBeLessThanOrEqual(2);

  await edit('off');
  await ticks(1);
  // A read that was released before may still be under way.
  const queues = ['bot', 'bot2'].map((name) => rig.queue(name));
  const jobs = async () => await Promise.all(queues.map((queue) => queue.getJobCountByTypes(...unfinished)));
  await until('the reads that were released to end', async () => (await jobs()).every((count) => count === 0));
  const last = reads().length;
  await ticks(2);
  expect(reads()).toHaveLength(last);
  expect(rig.standIn.log.of({ status: 429 })).toEqual([]);
  expect(rig.standIn.log.maxInAnyWindow(token, perMs)).toBeLessThanOrEqual(limit);
  await close();
}

it('is the share of the limit under both kinds of window, of instances that share a token together, as the file says', async () => {
  await Promise.all((['sliding', 'fixed'] as const).map(verifies));
});
