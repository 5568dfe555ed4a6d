/** The sections `retry`, `verify`, `results` and the key `shutdownTimeout`: how the program goes about its work. */
import { z } from 'zod';
import { plannerQueue, rotationsQueue } from '../../contract/queueNames.ts';
import { count, dayMs, duration, hourMs } from './values.ts';

export const retryMap = z.strictObject({
  attempts: count(1, 100).prefault(6).describe('Calls for one job before giving up for now, the first one included'),
  baseDelay: duration(0, dayMs).prefault('2s').describe('Doubles from one attempt to the next'),
  maxDelay: duration(0, dayMs).prefault('5m'),
});

export const verifyMap = z.strictObject({
  every: duration(1_000, 365 * dayMs)
    .prefault('1d')
    .describe('How often each link is read back'),
});

const queueName = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,100}$/, { error: 'expected a queue name of 1 to 100 letters, digits, "_", "." or "-"' })
  .refine((name) => name !== plannerQueue && !name.startsWith(rotationsQueue('')), {
    error: 'is a queue of the program itself',
  });

export const resultsMap = z.strictObject({
  queues: z
    .array(queueName)
    .min(1, { error: 'name at least one results queue' })
    .prefault(['invite-links'])
    .describe('Every event goes to every queue named'),
});

export const shutdownTimeoutValue = duration(0, hourMs).prefault('40s');
