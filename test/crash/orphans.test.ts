/**
 * A worker is killed while its reset is in flight, and the reset takes effect afterwards. Before another worker starts,
 * the group's entry is edited or its job is lost. Nothing is verified. In every case consumers have the new link by the
 * end of the lease and the settle time, and no second reset is made.
 */
import type { Queue } from 'bullmq';
import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { readStatus } from '../../src/status/status.ts';
import { logged } from '../support/cli.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { jids, makeRig, noProxy } from './rig.ts';

const entry = (id: string, n: number, rest = ', instance: bot') => `{ id: ${id}, identifier: "${jids[n]}"${rest} }`;
const other = entry('other', 1);

interface Edit {
  /** The groups of the file afterwards. */
  readonly groups: string;
  /** The id under which the link is published in the end. Default: `g0`. */
  readonly id?: string;
  readonly lose?: (queue: Queue) => Promise<unknown>;
  /** The file in between, which another worker has registered. */
  readonly before?: string;
}

const edits: Readonly<Record<string, Edit>> = {
  'its period is edited': { groups: `${entry('g0', 0, ', instance: bot, every: 12h')}, ${other}` },
  'it is disabled': { groups: `${entry('g0', 0, ', instance: bot, enabled: false')}, ${other}` },
  'it is moved to another instance': { groups: `${entry('g0', 0, ', instance: bot2')}, ${other}` },
  'it is renamed': { groups: `${entry('renamed', 0)}, ${other}`, id: 'renamed' },
  'it is removed': { groups: other },
  'it is removed and added again': { before: other, groups: `${entry('g0', 0)}, ${other}` },
  'its queue is obliterated': {
    groups: `${entry('g0', 0)}, ${other}`,
    lose: (queue) => queue.obliterate({ force: true }),
  },
  'its job is removed, and it is disabled': {
    groups: `${entry('g0', 0, ', instance: bot, enabled: false')}, ${other}`,
    lose: (queue) => queue.obliterate({ force: true }),
  },
};

/**
 * When the link must have been published: ten seconds to notice the attempt, read and publish, after the lease and the
 * settle time, or after the next worker has started if a busy machine takes longer for that.
 */
const boundAt = (effectAt: number, started: { readonly [field: string]: unknown }) =>
  Math.max(effectAt + 10_000 + 6_000, Date.parse(String(started.time))) + 10_000;

async function survive(name: string, edit: Edit, work: 'one-off' | 'scheduled'): Promise<void> {
  const { groups, id = 'g0', lose, before } = edit;
  const base = testRedis();
  const first = work === 'scheduled' ? ', instance: bot, firstSeen: rotate' : ', instance: bot';
  const rig = await makeRig({ ...base, url: null, env: { REDIS_URL: base.url } }, noProxy, {
    instances: ['bot', 'bot2'],
    instance: ' }, { name: bot2, tokenEnv: TOKEN',
    groupsYaml: `${entry('g0', 0, first)}, ${other}`,
  });
  const reset = () => rig.standIn.log.of({ endpoint: 'reset', jid: jids[0]! })[0];
  rig.standIn.faults.next({ kind: 'silence', effectAfterMs: 2_600 }, { endpoint: 'reset' });
  const worker = rig.start();
  await logged(worker, 'started');
  await until('the first link', () => rig.events.some(({ group }) => group === 'g0'));
  if (work === 'one-off') await rig.ask('g0');
  await until('the reset', reset);
  worker.child.kill('SIGKILL');
  await worker.ended;

  if (before !== undefined) {
    rig.edit(before);
    const between = rig.start();
    await logged(between, 'started');
    between.child.kill('SIGKILL');
    await between.ended;
  }
  rig.edit(groups);
  await lose?.(rig.queue);
  const next = rig.start();
  const started = await logged(next, 'started');
  const loaded = await loadConfig(rig.file);
  if (!loaded.ok) throw new Error('the file is broken');
  const { groups: shown } = await readStatus(createDatabase(base.redis, base.prefix), loaded.config);
  expect(shown.find(({ group }) => group === id)?.state ?? 'gone', name).not.toBe('fresh');

  const live = () => rig.standIn.codeOf(jids[0]!);
  await until('the effect', () => reset()?.effect);
  const published = await until(`the live link to be published after ${name}`, () =>
    rig.events.find(({ group, inviteCode }) => group === id && inviteCode === live()),
  );
  expect(Date.parse(published.rotatedAt!), name).toBeLessThan(boundAt(reset()!.effect!.at, started));
  expect(rig.standIn.log.of({ endpoint: 'reset', jid: jids[0]! }), name).toHaveLength(1);
  const revisions = rig.events.filter(({ group }) => group === id).map(({ revision }) => revision!);
  expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
  next.child.kill('SIGKILL');
  await next.ended;
}

/** Rigs that run at once. */
const atOnce = 4;

const works = ['one-off', 'scheduled'] as const;
it.each(works)('settles a %s rotation of a killed worker, whatever is edited', { timeout: 300_000 }, async (work) => {
  const left = Object.entries(edits);
  const takeTurns = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await survive(...next, work);
  };
  await Promise.all(Array.from({ length: atOnce }, takeTurns));
});

it('settles it in that time even if the next worker is killed while it reads the link back', async () => {
  const base = testRedis();
  const rig = await makeRig({ ...base, url: null, env: { REDIS_URL: base.url } }, noProxy, {
    groupsYaml: entry('g0', 0, ''),
    api: 'timeout: 6s',
  });
  const calls = (endpoint: 'reset' | 'info') => rig.standIn.log.of({ endpoint, jid: jids[0]! });
  rig.standIn.faults.next({ kind: 'silence', effectAfterMs: 100 }, { endpoint: 'reset' });
  const first = rig.start();
  await rig.adopted(0);
  await rig.ask('g0');
  const reset = await until('the effect', () => calls('reset')[0]?.effect);
  first.child.kill('SIGKILL');
  const second = rig.start();
  rig.standIn.faults.next({ kind: 'slow', ms: 4_000 }, { endpoint: 'info' });
  await until('the read back', () => calls('info').length === 2);
  second.child.kill('SIGKILL');
  const third = rig.start();
  const started = await logged(third, 'started');
  await rig.expectLive(0);
  expect(Date.parse(rig.eventsOf(0).at(-1)!.rotatedAt!)).toBeLessThan(boundAt(reset.at, started) + 1_000);
  expect(calls('reset')).toHaveLength(1);
  third.child.kill('SIGKILL');
  await Promise.all([first, second, third].map(({ ended }) => ended));
});
