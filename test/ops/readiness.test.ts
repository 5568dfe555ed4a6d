import { expect, it } from 'vitest';
import { type Health, judge } from '../../src/ops/readiness.ts';
import { well } from './samples.ts';

it.each<[string, Partial<Health>, string[]]>([
  ['is ready while all goes on', {}, []],
  ['is not while it stops', { stopping: true }, ['stopping']],
  ['is not before Redis took a write', { redisWriteAgeMs: null, tickAgeMs: null }, ['redis']],
  ['is not when Redis takes no write any more', { redisWriteAgeMs: 11_000, tickAgeMs: 60_000 }, ['redis']],
  ['is not before the first tick', { tickAgeMs: null }, ['ticks']],
  ['is not when ticks stay away', { tickAgeMs: 21_000 }, ['ticks']],
  ['is not when jobs wait and nobody takes them', { stuck: ['bot'] }, ['jobs']],
])('%s', (_name, over, reasons) => {
  expect(judge({ ...well, ...over })).toEqual({ ready: reasons.length === 0, reasons, details: [], paused: [] });
});

it('tells of a broken edit, which is no reason to send work elsewhere', () => {
  expect(judge({ ...well, configBroken: true })).toMatchObject({
    ready: true,
    reasons: [],
    details: ['config_broken'],
  });
});

it('tells of paused queues, which a person has decided on', () => {
  const paused = ['rotations-bot'];
  expect(judge({ ...well, paused })).toEqual({ ready: true, reasons: [], details: ['queue_paused'], paused });
});

it('is not ready while Redis refuses commands, and names the reason', () => {
  expect(judge({ ...well, redisTrouble: 'NOREPLICAS' })).toEqual({
    ...{ ready: false, reasons: ['redis'], details: [], paused: [], redis: 'NOREPLICAS' },
  });
});
