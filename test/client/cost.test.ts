/** The commands that waiting sends to Redis, counted by Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { startProducerRig } from './producerRig.ts';

const groups = Array.from({ length: 140 }, (_, i) => `g${i}`);

it('waits for 140 jobs with one blocking read and one check every three seconds', async () => {
  const { redis, queue, client, register, answer } = await startProducerRig({ groups });
  await register();
  const producer = client();
  const links = Promise.all(groups.map((group) => producer.rotate(group)));
  await until('the requests', async () => (await queue.getWaitingCount()) === groups.length);
  await redis.config('RESETSTAT');
  const seconds = 7;
  await sleep(seconds * 1_000);
  const calls = await callsOf(redis);
  expect(calls.get('evalsha') ?? 0).toBeLessThanOrEqual(3);
  expect(calls.get('xread') ?? 0).toBeLessThanOrEqual(2);
  const total = [...calls.values()].reduce((sum, count) => sum + count, 0);
  // Inside its script, a check reads a hundred jobs.
  expect(total).toBeLessThanOrEqual(3 * 102 + 20);

  await answer();
  expect((await links).map(({ group }) => group)).toEqual(groups);
  const clients = (await redis.client('LIST')) as string;
  expect(clients.match(/cmd=xread/g)).toHaveLength(1);
});

async function callsOf(redis: { info(section: string): Promise<string> }): Promise<Map<string, number>> {
  const info = await redis.info('commandstats');
  return new Map(
    [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name = '', calls]) => [name, Number(calls)] as const),
  );
}
