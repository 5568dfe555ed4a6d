import fc from 'fast-check';
import { expect, it } from 'vitest';
import { errorCodes } from '../../src/contract/errorCodes.ts';
import { countGroups } from '../../src/groups/counts.ts';
import { type GroupRecord, isScheduled } from '../../src/groups/record.ts';
import { type GroupState, groupStates, segmentsAt, stateAt, stateScore } from '../../src/groups/states.ts';
import { periodOf } from '../../src/groups/statusIndexes.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { attempt, entry, settled, t, uncertain } from '../rotation/samples.ts';
import { testRedis } from '../support/redis.ts';

const instances = ['bot', 'bot2'];
const failure = { code: 'not_admin', message: 'no', httpStatus: 403, at: t, count: 1, nextAttemptAt: t };
const daily = { kind: 'cron' as const, cron: '0 9 * * MON-FRI', timezone: 'America/Sao_Paulo', window: null };

const time = fc.integer({ min: t - 90_000, max: t + 90_000 });
/** What can become of a record, in any combination. */
const change: fc.Arbitrary<Partial<GroupRecord>> = fc.oneof(
  fc.record({ dueAt: fc.option(time) }),
  fc.record({ rotatedAt: fc.option(time), revision: fc.option(fc.integer({ min: 1, max: 9 })) }),
  fc.record({ unverified: fc.integer({ min: 0, max: 4 }), link: fc.constantFrom(settled.link, null) }),
  fc.record({
    attempt: fc.option(
      fc.record({ call: fc.constantFrom('reset', 'verify', 'adopt'), leaseUntil: time }).map((over) => ({
        ...attempt(),
        ...(over as { call: 'reset' }),
      })),
    ),
  }),
  fc.record({ uncertain: fc.option(fc.constant(uncertain)) }),
  fc.record({ failure: fc.option(fc.constantFrom(...errorCodes, 'later_code').map((code) => ({ ...failure, code }))) }),
  fc.record({ duplicateOf: fc.option(fc.constant('other')) }),
  fc.record({ removedAt: fc.option(time), replaced: fc.boolean() }),
  fc
    .record({
      entry: fc.option(
        fc.record({
          instance: fc.constantFrom(...instances),
          enabled: fc.boolean(),
          schedule: fc.constantFrom(entry.schedule, daily),
        }),
        { freq: 8 },
      ),
    })
    .map(({ entry: over }) => ({ entry: over && { ...entry, ...over } })),
);
const ids = ['1@g.us', '2@g.us', '3@g.us', 'unread'];
const step = fc.record({ id: fc.constantFrom(...ids), over: change, deleted: fc.boolean(), isEdit: fc.boolean() });

/** What the indexes must say, from the records alone. */
function expected(records: readonly GroupRecord[], nowMs: number) {
  return instances.map((instance) => {
    const own = records.filter(
      (record) => record.entry?.instance === instance && record.removedAt === null && !record.replaced,
    );
    const stateOf = (record: GroupRecord) => stateAt(stateScore(record, record.entry?.enabled === true), nowMs);
    const linked = own.filter((record) => record.rotatedAt !== null && isScheduled(record));
    const ages = linked.map((record) => nowMs - record.rotatedAt!);
    const ratios = linked.map((one, i) => ages[i]! / periodOf(one.entry!.schedule, one.rotatedAt!));
    return {
      instance,
      states: Object.fromEntries(
        groupStates.map((state) => [state, own.filter((record) => stateOf(record) === state).length]),
      ),
      oldestLinkAt: linked.length === 0 ? null : nowMs - Math.max(...ages),
      oldestPeriods: Math.max(0, ...ratios).toFixed(6),
    };
  });
}

it('counts what the records say, whatever happens to them', async () => {
  const db = testRedis();
  const store = createGroupStore(db);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), time, async (steps, nowMs) => {
      for (const { id, over, deleted, isEdit } of [
        ...ids.map((one) => ({ id: one, over: {}, deleted: true, isEdit: true })),
        ...steps,
      ]) {
        await store.edit(async (reader) => {
          const record = await reader.record(id);
          const before = record.entry === null ? settled : record;
          const after = deleted && isEdit ? null : { ...before, ...over };
          return { records: { [id]: after }, reindex: isEdit, result: undefined };
        });
      }
      const records = await Promise.all(ids.map(async (id) => (await store.load(id)).record));
      const counted = await countGroups(db, instances, nowMs);
      const shown = counted.map(({ instance, groups, counts, oldestLinkAt, oldestPeriods }) => {
        const states = new Map<GroupState, number>(groupStates.map((state) => [state, 0]));
        for (const { state, groups: some } of counts) states.set(state, (states.get(state) ?? 0) + some);
        expect([...states.values()].reduce((a, b) => a + b, 0)).toBe(groups);
        return { instance, states: Object.fromEntries(states), oldestLinkAt, oldestPeriods: oldestPeriods.toFixed(6) };
      });
      expect(shown).toEqual(expected(records, nowMs));
    }),
    { numRuns: 60 },
  );
});

it('divides all scores into ranges that do not overlap', () => {
  const segments = segmentsAt(t).toSorted((a, b) => a.min - b.min);
  for (const [i, { min, max, state }] of segments.entries()) {
    expect(min).toBeLessThanOrEqual(max);
    expect(Number.isSafeInteger(max)).toBe(true);
    expect([stateAt(min, t), stateAt(max, t)]).toEqual([state, state]);
    if (i > 0) expect(min).toBeGreaterThan(segments[i - 1]!.max);
  }
  expect(new Set(segments.map(({ state }) => state))).toEqual(new Set(groupStates));
  expect(segments.map(({ code }) => code).filter((code) => code !== null)).toEqual([...errorCodes]);
});
