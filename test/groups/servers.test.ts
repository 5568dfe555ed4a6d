/** Which two workers serve an instance, whoever joins or leaves. */
import { describe, expect, it } from 'vitest';
import { serversOf } from '../../src/groups/servers.ts';

const instances = Array.from({ length: 1_000 }, (_, i) => `bot${i}`);
const all = new Set(instances);
const none: ReadonlySet<string> = new Set();
const worker = (id: number | string, over: { instances?: ReadonlySet<string>; unable?: ReadonlySet<string> } = {}) => ({
  ...{ worker: `0b2e3c6e-8f8e-4d4e-9d0a-00000000000${id}`, instances: all, unable: none },
  ...over,
});
const workers = (...ids: number[]) => ids.map((id) => worker(id));
type Workers = ReturnType<typeof workers>;
const idsOf = (instance: string, servers: Workers) => serversOf(instance, servers).map((server) => server.worker);
/** By instance: who serves it after the change and did not before, and who no longer does. */
function moves(before: Workers, after: Workers) {
  return instances.map((instance) => {
    const [old, now] = [idsOf(instance, before), idsOf(instance, after)];
    return { came: now.filter((id) => !old.includes(id)), went: old.filter((id) => !now.includes(id)) };
  });
}

describe('the two servers of an instance', () => {
  it.each([[[]], [[1]], [[1, 2]]])('are all of %j: nothing is shared among two', (ids) => {
    for (const instance of instances) expect(idsOf(instance, workers(...ids))).toHaveLength(ids.length);
  });

  it('are the same in whatever order a process knows the workers', () => {
    for (const instance of instances) {
      expect(idsOf(instance, workers(4, 2, 1, 3))).toEqual(idsOf(instance, workers(1, 2, 3, 4)));
    }
  });

  it.each([3, 4, 9])('are spread evenly over %i workers', (count) => {
    const servers = workers(...Array.from({ length: count }, (_, i) => i));
    const served = instances.flatMap((instance) => idsOf(instance, servers));
    expect(served).toHaveLength(2 * instances.length);
    const fair = (2 * instances.length) / count;
    for (const { worker: id } of servers) {
      const share = served.filter((one) => one === id).length;
      expect(share).toBeGreaterThan(0.8 * fair);
      expect(share).toBeLessThan(1.2 * fair);
    }
  });

  it('change only where a worker that leaves was one of them, each by one', () => {
    const before = workers(1, 2, 3, 4);
    const after = workers(1, 2, 4);
    for (const { came, went } of moves(before, after)) {
      expect(came).toHaveLength(went.length);
      expect(went.filter((id) => id !== worker(3).worker)).toEqual([]);
    }
    const moved = moves(before, after).filter(({ went }) => went.length > 0).length;
    expect(moved).toBeGreaterThan(400);
    expect(moved).toBeLessThan(600);
  });

  it('change only where a worker that joins becomes one of them, each by one', () => {
    for (const { came, went } of moves(workers(1, 2, 4), workers(1, 2, 3, 4))) {
      expect(went).toHaveLength(came.length);
      expect(came.filter((id) => id !== worker(3).worker)).toEqual([]);
    }
  });

  it('have the instance in their files', () => {
    const few = worker(1, { instances: new Set(['bot7']) });
    const servers = [few, ...workers(2, 3, 4)];
    for (const instance of instances.filter((name) => name !== 'bot7')) {
      expect(idsOf(instance, servers)).not.toContain(few.worker);
    }
    expect(idsOf('other', servers)).toEqual([]);
    expect(idsOf('bot7', [few, worker(2, { instances: none })])).toEqual([few.worker]);
  });

  it('can read its token, unless nobody can', () => {
    const unable = new Set(['bot7']);
    const broken = [worker(1, { unable }), worker(2, { unable })];
    expect(idsOf('bot7', [...broken, worker(3)])).toEqual([worker(3).worker]);
    expect(idsOf('bot7', broken)).toHaveLength(2);
  });
});
