/**
 * Each reply by which Redis refuses commands, starting at each stage of a one-off. The result is one reset, one event
 * and one answer, and the log reports the refusal and its end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { logged } from '../support/cli.ts';
import type { Moment } from '../support/commandProxy.ts';
import { testRedis } from '../support/redis.ts';
import { createRefusingProxy } from '../support/refusingProxy.ts';
import { until } from '../support/until.ts';
import { makeRig } from './rig.ts';

const replies: Readonly<Record<string, string>> = {
  NOREPLICAS: '-NOREPLICAS Not enough good replicas to write.',
  MISCONF:
    '-MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk. script: 1, on @user_script:1.',
  OOM: "-OOM command not allowed when used memory > 'maxmemory'. script: 1, on @user_script:1.",
  // As servers before Redis 7 say it.
  'OOM in a script':
    "-ERR Error running script (call to f_1): @user_script:3: @user_script: 3: -OOM command not allowed when used memory > 'maxmemory'.",
  READONLY: "-READONLY You can't write against a read only replica.",
  LOADING: '-LOADING Redis is loading the dataset in memory',
  MASTERDOWN: "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  CLUSTERDOWN: '-CLUSTERDOWN The cluster is down',
  TRYAGAIN: '-TRYAGAIN Multiple keys request during rehashing of slot',
  BUSY: '-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
  NOAUTH: '-NOAUTH Authentication required.',
  WRONGPASS: '-WRONGPASS invalid username-password pair or user is disabled.',
};

/** `sent`: the call has reached the API. */
const stages: readonly (Moment | 'sent')[] = [
  { command: 'moveToActive', nth: 1 },
  { command: 'save', nth: 1 },
  'sent',
  { command: 'save', nth: 2 },
  { command: 'addStandardJob', nth: 1 },
  { command: 'moveToFinished', nth: 1 },
];
const refusedForMs = 1_200;
/** Processes at once. */
const atOnce = 6;

async function waitOut(name: string, reply: string): Promise<void> {
  // No call may time out on a busy machine: that would be a different failure.
  const calls = { api: 'timeout: 10s', settleTime: '12s', latency: { minMs: 300, maxMs: 300 } };
  const rig = await makeRig(testRedis(), createRefusingProxy, calls);
  const worker = rig.start();
  await logged(worker, 'started');
  await rig.adopted(0, 1, 2, 3);
  const resets = () => rig.standIn.log.of({ endpoint: 'reset' });
  const rotated = () => rig.events.filter(({ type }) => type === 'link.rotated');
  const begun = worker.json().length;
  for (const [i, stage] of stages.entries()) {
    const at = `${name} at ${stage === 'sent' ? stage : `${stage.command} (${stage.nth})`}`;
    const reached = stage === 'sent' ? null : rig.proxy.refuseFrom(stage, reply);
    const job = await rig.ask(`g${i % 4}`);
    if (reached === null) await until('the call', () => resets().length === i + 1);
    else await reached;
    rig.proxy.refuse(reply);
    await sleep(refusedForMs);
    // No call without its attempt: until then, `save` or an earlier command is refused.
    if (i < stages.indexOf('sent')) expect(resets(), at).toHaveLength(i);
    rig.proxy.heal();
    expect(await rig.end(job), at).toBe('completed');
    await until(`the event after ${at}`, () => rotated().length === i + 1);
    expect(resets(), at).toHaveLength(i + 1);
    await rig.expectLive(i % 4);
  }
  const ends = ['rotation.rotated', 'rotation.satisfied', 'link.adopted'];
  const loud = () => {
    const lines = worker.json().slice(begun);
    return lines.filter(({ level, event }) => Number(level) >= 30 && !ends.includes(String(event)));
  };
  await until(`the end of ${name} to be logged`, () => loud().at(-1)?.event === 'redis.back');
  const [code] = name.split(' ');
  // Each again after a minute.
  expect(loud().length, name).toBeLessThanOrEqual(4);
  expect(loud()[0], name).toMatchObject({ event: 'redis.refuses', reason: code });
  expect(loud().every(({ event }) => event === 'redis.refuses' || event === 'redis.back')).toBe(true);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
}

it('makes one reset, one event and one answer, whatever the reply and whenever it comes', async () => {
  const left = Object.entries(replies);
  const takeTurns = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await waitOut(...next);
  };
  await Promise.all(Array.from({ length: atOnce }, takeTurns));
}, 240_000);
