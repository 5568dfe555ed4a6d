/** An installation of so many groups that they are counted and listed by the indexes. */
import { expect, it } from 'vitest';
import type { GroupRecord } from '../../src/groups/record.ts';
import { groupStates } from '../../src/groups/states.ts';
import type { View } from '../../src/status/list.ts';
import { createStatusReader, readStatus } from '../../src/status/status.ts';
import { configOf, registryRig } from '../groups/registryRig.ts';

const count = 300;
const jidOf = (i: number) => `1203634062890${String(i).padStart(5, '0')}@g.us`;
const groupLine = (i: number) =>
  `{ id: g${String(i).padStart(3, '0')}, identifier: ${jidOf(i)}, instance: ${i % 3 === 0 ? 'bot2' : 'bot'}, title: Title ${i} }`;
const all = Array.from({ length: count }, (_, i) => groupLine(i));
const config = configOf(all);

/** Half of them registered; of those, some fail, one is a duplicate, one unreadable, some overdue, the others fresh. */
async function manyRig(registered: number) {
  const rig = registryRig();
  const { store, redis, keys, applyConfig } = rig;
  if (registered > 0) await applyConfig(configOf(all.slice(0, registered)));
  await redis.set(keys.statesIndexed, '1');
  const failure = { message: 'no', httpStatus: 403, count: 1, nextAttemptAt: null };
  const overOf = (i: number, nowMs: number): Partial<GroupRecord> => {
    const linked = {
      link: { code: `C${i}`, url: `https://chat.whatsapp.com/C${i}` },
      ...{ adopt: false, readDueAt: null, revision: nowMs, reason: 'adopted' as const },
      ...{ rotatedAt: nowMs - i * 60_000, dueAt: nowMs + 3_600_000 },
    };
    if (i < 12) return { ...linked, failure: { ...failure, code: 'not_admin', at: nowMs - i * 1_000 } };
    if (i < 15) return { ...linked, failure: { ...failure, code: 'group_not_found', at: nowMs } };
    if (i < 20) return { ...linked, dueAt: nowMs - 100_000 };
    return i === 20 ? { ...linked, duplicateOf: 'g000' } : i < 140 ? linked : {};
  };
  const setUp = (i: number) =>
    store.update(jidOf(i), (record, nowMs) => ({ record: { ...record, ...overOf(i, nowMs) }, result: undefined }));
  await Promise.all(Array.from({ length: registered }, (_, i) => setUp(i)));
  const reader = createStatusReader(rig, () => config);
  /** All pages of a view. */
  async function list(view: Partial<View> = {}, size = 70) {
    const first = await reader.read({ search: '', page: 1, ...view }, size);
    const groups = [...first.groups];
    for (let page = 2; page <= first.page.pages; page++) {
      groups.push(...(await reader.read({ search: '', page, ...view }, size)).groups);
    }
    return { groups, page: first.page };
  }
  return { ...rig, reader, list };
}

it('counts and lists the same as the records say', async () => {
  const rig = await manyRig(150);
  const [expected, status, { groups, page }] = await Promise.all([
    readStatus(rig, config),
    rig.reader.readAll(),
    rig.list(),
  ]);
  const { totals, problems } = status;
  const rounded = ({ instances, ...rest }: typeof totals) => ({
    ...rest,
    instances: Object.entries(instances).map(
      ([name, { oldestLinkAgePeriods: periods, oldestLinkAgeMs: ms, ...one }]) => ({
        ...{ name, one, periods: periods.toFixed(2), minutes: Math.round((ms ?? 0) / 60_000) },
      }),
    ),
  });
  expect(rounded(totals)).toEqual(rounded(expected.totals));
  expect(totals.states).toMatchObject({ failing: 15, overdue: 5, duplicate: 1, new: 160, fresh: 119 });
  expect(problems.map(({ examples, ...one }) => [one, examples.length])).toEqual(
    expected.problems.map(({ examples, ...one }) => [one, examples.length]),
  );
  expect(page).toEqual({ number: 1, pages: 5, size: 70, found: count, isCut: false });
  const shown = ({ group, state, title, instance }: (typeof groups)[number]) =>
    `${group} ${state} ${title} ${instance}`;
  expect(groups.map(shown).sort()).toEqual(expected.groups.map(shown).sort());
  const ranks = groups.map(({ state }) => groupStates.indexOf(state));
  expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
});

it('lists the groups of a state, an instance, an error code or a word', async () => {
  const { list } = await manyRig(150);
  const ids = async (view: Partial<View>) => (await list(view, 100)).groups.map(({ group }) => group).sort();
  expect(await ids({ state: 'overdue' })).toEqual(['g015', 'g016', 'g017', 'g018', 'g019']);
  expect(await ids({ state: 'overdue', instance: 'bot2' })).toEqual(['g015', 'g018']);
  expect(await ids({ search: 'group_not_found' })).toEqual(['g012', 'g013', 'g014']);
  expect(await ids({ search: 'group_not_found', state: 'failing', instance: 'bot2' })).toEqual(['g012']);
  expect(await ids({ search: 'TITLE 29', instance: 'bot2' })).toEqual(['g129', 'g291', 'g294', 'g297']);
  expect(await ids({ search: '00297@g.us' })).toEqual(['g297']);
  expect(await ids({ search: 'g000 duplicate' })).toEqual(['g020']);
  expect((await ids({ state: 'new', instance: 'bot2' })).length).toBe(53);
  expect(await ids({ state: 'uncertain' })).toEqual([]);
  expect((await list({ page: 99 }, 100)).page.number).toBe(3);
});

it('lists groups of the file as new before any worker has run', async () => {
  const { reader, list } = await manyRig(0);
  const { totals } = await reader.readAll();
  expect(totals).toMatchObject({ groups: count, complete: true, states: { new: count } });
  const { groups } = await list();
  expect(new Set(groups.map(({ group }) => group)).size).toBe(count);
  expect(groups[0]).toMatchObject({ group: 'g001', state: 'new', jid: jidOf(1), title: 'Title 1' });
});

it('says that it has not counted what an older version stored', async () => {
  const { reader, redis, keys } = await manyRig(300);
  await redis.del(keys.statesIndexed, keys.states('bot'));
  const { totals } = await reader.readAll();
  expect(totals).toMatchObject({ complete: false, groups: 100 });
});

it('leaves a stale entry out of a list, and shows a record that it cannot read', async () => {
  const { redis, keys, list } = await manyRig(300);
  await redis.zadd(keys.states('bot'), 5, 'nobody@g.us');
  await redis.hset(keys.group(jidOf(1)), 'record', '{');
  const { groups } = await list({}, 1_000);
  expect(groups.length).toBe(count);
  expect(groups[0]).toMatchObject({ group: 'g001', state: 'unreadable_record', instance: 'bot' });
});

it('counts and lists the groups of other files on these instances, too', async () => {
  const { applyConfig, reader, list } = await manyRig(300);
  const extra = `{ id: extra, identifier: ${jidOf(count)}, instance: bot, title: Of another file }`;
  await applyConfig(configOf([...all, extra]));
  const { totals, problems } = await reader.readAll();
  const { groups, page } = await list();
  expect([totals.groups, page.found, groups.length]).toEqual([count + 1, count + 1, count + 1]);
  for (const state of groupStates) {
    expect(groups.filter((group) => group.state === state)).toHaveLength(totals.states[state]);
  }
  expect(groups.find(({ group }) => group === 'extra')).toMatchObject({ state: 'new', instance: 'bot' });
  expect(problems.length).toBeGreaterThan(0);
});
