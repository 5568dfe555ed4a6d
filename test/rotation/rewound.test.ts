import { expect, it } from 'vitest';
import type { GroupRecord } from '../../src/groups/record.ts';
import { rewound } from '../../src/rotation/rewound.ts';
import { attempt, hourMs, settled, settleTimeMs, t, uncertain } from './samples.ts';

const nowMs = t - hourMs;
const times = { leaseMs: 10_000, settleTimeMs };
const after = (over: Partial<GroupRecord>, beforeMs = t) =>
  rewound({ ...settled, ...over }, { beforeMs, nowMs }, times);

it('does not change a record in which only the schedule waits', () => {
  const record = { ...settled, dueAt: t + 1, readDueAt: t + 1 };
  expect(rewound(record, { beforeMs: t, nowMs }, times)).toBe(record);
});

it('does not change what started before the time that the clock was set back to', () => {
  const begunAt = nowMs - 1;
  const over = {
    attempt: attempt({ begunAt, leaseUntil: nowMs + 9_999 }),
    uncertain: { ...uncertain, begunAt, openUntil: nowMs + settleTimeMs - 1 },
  };
  expect(after(over)).toMatchObject(over);
});

it('starts a lease again, so that its group is not locked until the clock has caught up', () => {
  const begun = attempt({ begunAt: t - 3_000, leaseUntil: t + 7_000 });
  expect(after({ attempt: begun }).attempt).toEqual({ ...begun, begunAt: nowMs, leaseUntil: nowMs + 10_000 });
});

it('waits a whole settle time for a call that may still take effect, and reads at once', () => {
  expect(after({ uncertain, verificationOwedAt: t + settleTimeMs })).toMatchObject({
    uncertain: { begunAt: nowMs, openUntil: nowMs + settleTimeMs, readAt: nowMs },
    verificationOwedAt: nowMs + settleTimeMs,
  });
  expect(after({ uncertain: { ...uncertain, openUntil: null } }).uncertain?.openUntil).toBeNull();
});

it('waits no longer than a settle time for a reset that Redis has forgotten', () => {
  expect(after({ resetsFrom: t + settleTimeMs }).resetsFrom).toBe(nowMs + settleTimeMs);
});

it('reads at once if a read was due', () => {
  expect(after({ readDueAt: t - 1 }).readDueAt).toBe(nowMs);
  expect(after({ readDueAt: t + 1 }).readDueAt).toBe(t + 1);
});
