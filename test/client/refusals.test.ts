/** If Redis refuses commands or is unreachable, calls wait, or reject with a `RotationError` within their time limit. */
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { RotationError } from '../../src/index.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { freePort } from '../support/redisServer.ts';
import { until } from '../support/until.ts';
import { resultOf, startProducerRig } from './producerRig.ts';

const groups = ['g1'];
const password = 'hunter2-of-this-test';

/** Checks everything that printing the error would show. */
async function failureOf(call: Promise<unknown>): Promise<RotationError> {
  const error = await call.then(
    () => new Error('it resolved'),
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(RotationError);
  expect(inspect(error, { depth: 10 })).not.toContain(password);
  return error;
}

it('a wrong password, and a missing one', async () => {
  const { server, client } = await startProducerRig({ groups, password });
  const wrong = client({ connection: `redis://:not-${password}@127.0.0.1:${server.port}` });
  for (const call of [wrong.rotate('g1'), wrong.request('g1'), wrong.current('g1')]) {
    expect(await failureOf(call)).toMatchObject({ code: 'redis_error', message: 'wrong user or password' });
  }
  const none = client({ connection: { port: server.port, host: '127.0.0.1' } });
  expect(await failureOf(none.rotate('g1'))).toMatchObject({ code: 'redis_error' });
});

it('a password that is changed while a call waits: the call keeps waiting', async () => {
  const { redis, client, register, queue, answer } = await startProducerRig({ groups, password });
  await register();
  const link = client().rotate('g1');
  await until('the request', async () => (await queue.getWaitingCount()) === 1);
  await redis.config('SET', 'requirepass', `other-${password}`);
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  // Longer than between two looks.
  await sleep(4_000);
  await redis.config('SET', 'requirepass', password);
  await answer();
  expect(await link).toEqual(resultOf('g1'));
});

it('a script that runs for seconds: the call waits for its end or for the time limit', async () => {
  const { redis, server, client, register, answer } = await startProducerRig({
    groups,
    args: ['--busy-reply-threshold', '20'],
  });
  await register();
  await answer();
  const [patient, hasty] = [client(), client()];
  await patient.current('g1');
  await hasty.current('g1');
  const blocker = new Redis(server.url);
  blocker.on('error', () => {});
  onTestFinished(() => blocker.disconnect());
  const running = blocker.eval('while true do end', 0).catch(() => {});
  await until('Redis to be busy', async () => {
    return await redis.ping().then(
      () => false,
      ({ message }) => message.startsWith('BUSY'),
    );
  });
  const link = patient.rotate('g1');
  expect(await failureOf(hasty.rotate('g1', { timeoutMs: 1_500 }))).toMatchObject({ code: 'timeout' });
  await redis.script('KILL');
  await running;
  expect(await link).toEqual(resultOf('g1'));
});

it('no memory: the request is pushed once, when memory is free', async () => {
  const { redis, client, register, queue } = await startProducerRig({ groups });
  await register();
  const producer = client();
  await redis.config('SET', 'maxmemory', '1');
  const requested = producer.request('g1');
  expect(await failureOf(producer.request('g1', { timeoutMs: 1_200 }))).toMatchObject({
    code: 'timeout',
    message: 'Redis did not accept the request for g1 within 1200 ms',
  });
  await redis.config('SET', 'maxmemory', '0');
  expect(await queue.getJob((await requested).jobId)).toBeDefined();
  expect(await queue.getWaitingCount()).toBe(1);
});

it('an unreachable Redis: calls end at their limit, push nothing later, and closing does not wait', async () => {
  const { server, client, register, queue } = await startProducerRig({ groups });
  await register();
  const proxy = await createFaultProxy(server.port);
  onTestFinished(() => proxy.close());
  for (const fail of [() => proxy.refuse(), () => proxy.blackHole()]) {
    await proxy.heal();
    const producer = client({ connection: `redis://127.0.0.1:${proxy.port}` });
    await producer.current('g1').catch(() => {});
    await fail();
    for (const call of [
      producer.rotate('g1', { timeoutMs: 300 }),
      producer.request('g1', { timeoutMs: 300 }),
      producer.current('g1', { timeoutMs: 300 }),
    ]) {
      expect(await failureOf(call)).toMatchObject({ code: 'timeout' });
    }
    const pending = producer.rotate('g1');
    // Redis is still unreachable then.
    await producer.close();
    expect(await failureOf(pending)).toMatchObject({ code: 'closed' });
    expect(await failureOf(producer.rotate('g1'))).toMatchObject({ code: 'closed' });
  }
  await proxy.heal();
  expect(await queue.getWaitingCount()).toBe(0);
});

it('a Redis that never existed', async () => {
  const { client } = await startProducerRig({ groups });
  const producer = client({ connection: `redis://:${password}@127.0.0.1:${await freePort()}` });
  expect(await failureOf(producer.rotate('g1', { timeoutMs: 200 }))).toMatchObject({ code: 'timeout' });
});
