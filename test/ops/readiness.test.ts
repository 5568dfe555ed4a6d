import { expect, it } from 'vitest';
import { type Health, judge } from '../../src/ops/readiness.ts';
import { well } from './samples.ts';

it.each<[string, Partial<Health>, string[]]>([
  ['is ready while everything works', {}, []],
  ['is not ready while it is stopping', { stopping: true }, ['stopping']],
  ['is not ready before Redis accepted a write', { redisWriteAgeMs: null, tickAgeMs: null }, ['redis']],
  [
    'is not ready when Redis has not accepted a write for 10 s',
    { redisWriteAgeMs: 11_000, tickAgeMs: 60_000 },
    ['redis'],
  ],
  ['is not ready before the first tick', { tickAgeMs: null }, ['ticks']],
  ['is not ready when the last tick is too old', { tickAgeMs: 21_000 }, ['ticks']],
  ['is not ready when jobs wait and none is taken', { stuck: ['bot'] }, ['jobs']],
])('%s', (_name, over, reasons) => {
  expect(judge({ ...well, ...over })).toEqual({ ready: reasons.length === 0, reasons, details: [], paused: [] });
});

it('stays ready with an invalid edit, and reports it', () => {
  expect(judge({ ...well, configBroken: true })).toMatchObject({
    ready: true,
    reasons: [],
    details: ['config_broken'],
  });
});

it('stays ready with paused queues, and reports them', () => {
  const paused = ['rotations-bot'];
  expect(judge({ ...well, paused })).toEqual({ ready: true, reasons: [], details: ['queue_paused'], paused });
});

it('is not ready while Redis refuses commands, and names the reason', () => {
  expect(judge({ ...well, redisTrouble: 'NOREPLICAS' })).toEqual({
    ...{ ready: false, reasons: ['redis'], details: [], paused: [], redis: 'NOREPLICAS' },
  });
});
