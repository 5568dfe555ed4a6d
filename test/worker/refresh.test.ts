/** Each worker makes sure, for the instances that it serves, that the planner knows which have something to do. */
import { expect, it } from 'vitest';
import { bucketOf } from '../../src/budget/budget.ts';
import { createRefresh } from '../../src/worker/refresh.ts';
import { testRedis } from '../support/redis.ts';
import { testBase } from './testBase.ts';

const token = 'a-token-of-this-test';

it('checks the instances that it serves at once, then each of them once in twelve ticks, and no others', async () => {
  const { redis, prefix, keys } = testRedis();
  const instances = Array.from({ length: 26 }, (_, i) => `bot${i}`);
  const { base } = await testBase(redis, prefix, { instances, env: { TOKEN: token } });
  base.tokens.load(base.config());
  const served = new Set(instances.slice(1, 20));
  const refresh = createRefresh(base, (instance) => served.has(instance));
  // As an older version writes them.
  for (const name of instances) await redis.zadd(keys.due(name), 7, 'a-group');
  await redis.zadd(keys.waitList(bucketOf(token), 'scheduled'), 7, 'a-waiter');
  await refresh();
  expect(new Set(await redis.zrange(keys.firstDue, '0', '-1'))).toEqual(served);
  expect(await redis.smembers(keys.waitLists)).toEqual([bucketOf(token)]);

  await redis.del(keys.firstDue);
  const seen: number[] = [];
  for (let tick = 0; tick < 12; tick++) {
    await refresh();
    seen.push(await redis.zcard(keys.firstDue));
  }
  expect(new Set(await redis.zrange(keys.firstDue, '0', '-1'))).toEqual(served);
  expect(Math.max(...seen.map((count, i) => count - (seen[i - 1] ?? 0)))).toBe(2);
  served.add('bot25');
  await refresh();
  await refresh();
  expect(await redis.zcard(keys.firstDue)).toBe(20);
});
