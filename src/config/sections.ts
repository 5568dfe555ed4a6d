/** The sections of the file other than `groups`, `defaults` and `redis`: keys, bounds, defaults, and checks across keys. */
import { z } from 'zod';
import { plannerQueue, rotationsQueue } from '../contract/queueNames.ts';
import { formatDuration } from './duration.ts';
import { hostName } from './redisSchema.ts';
import {
  checkedText,
  checkKeys,
  checkNotBoth,
  dayMs,
  distinct,
  duration,
  hourMs,
  integer,
  map,
  secretPath,
  section,
  share,
  variableName,
} from './values.ts';
import { addressProblem, baseUrlProblem, withoutSlash } from './webAddress.ts';

const defaultSettleTime = '90s';

export const apiSchema = checkKeys(
  map({
    baseUrl: checkedText('an address like https://ryzeapi.cloud', baseUrlProblem)
      .transform(withoutSlash)
      .prefault('https://ryzeapi.cloud')
      .describe('Address of RyzeAPI; http only for loopback hosts'),
    timeout: duration(100, 600_000).prefault('30s').describe('For one whole call'),
    settleTime: duration(0, hourMs)
      .prefault(defaultSettleTime)
      .describe('How long after sending a call without an answer may still take effect; at least the timeout'),
  }),
  ({ valid: { timeout, settleTime } }, report) => {
    // Until its timeout, a call may still take effect.
    if (timeout === undefined || settleTime === undefined || settleTime >= timeout) return;
    const [min, found] = [formatDuration(timeout), formatDuration(settleTime)];
    if (found !== defaultSettleTime) report(['settleTime'], `expected at least "timeout" (${min}), found ${found}`);
    else report(['timeout'], `is longer than "settleTime" (${found}): set "settleTime" to at least ${min}`);
  },
);

const rateLimitSchema = checkKeys(
  map({
    max: integer(1, 100_000).prefault(100).describe('Requests in any "per", as granted to the token'),
    per: duration(100, dayMs).prefault('1m'),
    reserve: integer(0, 99_999).prefault(10).describe('Of these, reserved for one-offs'),
  }),
  ({ valid: { max, reserve } }, report) => {
    if (max !== undefined && reserve !== undefined && reserve >= max)
      report([], `"reserve" (${reserve}) must be less than "max" (${max})`);
  },
);

export const instanceSchema = checkKeys(
  map(
    {
      name: z
        .string()
        .regex(/^[A-Za-z0-9_-]{1,100}$/, { error: 'expected 1 to 100 letters, digits, "_" or "-"' })
        .describe('The RyzeAPI instance'),
      tokenEnv: variableName('RYZE_TOKEN', 'token').optional().describe('Environment variable that holds the token'),
      tokenFile: secretPath('token')
        .optional()
        .describe(
          'File that holds the token; a relative path is resolved against the folder of this file; read again on reload and after a 401',
        ),
      rateLimit: section(rateLimitSchema),
      concurrency: integer(1, 1_000).prefault(5).describe('Jobs processed at the same time'),
      pace: duration(0, dayMs).prefault('0s').describe('Minimum time between two scheduled resets; one-offs ignore it'),
    },
    {
      token: 'do not put the token in this file: name an environment variable (tokenEnv) or a file (tokenFile)',
    },
  ),
  (instance, report) => {
    checkNotBoth(instance, ['tokenEnv', 'tokenFile'], report);
    const hasToken = instance.has('tokenEnv') || instance.has('tokenFile');
    if (!hasToken && !instance.hasUnknownKeys) report([], 'needs "tokenEnv" or "tokenFile"');
  },
).meta({ oneOf: [{ required: ['tokenEnv'] }, { required: ['tokenFile'] }] });

export const retrySchema = checkKeys(
  map({
    attempts: integer(1, 100).prefault(6).describe('Maximum calls for one job, including the first'),
    baseDelay: duration(0, dayMs).prefault('2s').describe('Doubles from one attempt to the next'),
    maxDelay: duration(0, dayMs).prefault('5m'),
  }),
  ({ valid: { baseDelay, maxDelay } }, report) => {
    if (baseDelay !== undefined && maxDelay !== undefined && baseDelay > maxDelay)
      report([], '"baseDelay" is longer than "maxDelay"');
  },
);

export const verifySchema = map({
  every: duration(1_000, 365 * dayMs)
    .prefault('1h')
    .describe('How often each link is read back; less often if the share allows fewer reads'),
  share: share(0.1, 100).prefault('10%').describe("Of a token's limit, for reading links back"),
});

const queueName = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,100}$/, { error: 'expected a queue name of 1 to 100 letters, digits, "_", "." or "-"' })
  .refine((name) => name !== plannerQueue && !name.startsWith(rotationsQueue('')), {
    error: 'is a queue of the program itself',
  });

export const resultsSchema = map({
  queues: distinct(z.array(queueName).min(1, { error: 'name at least one results queue' }))
    .prefault(['invite-links'])
    .describe('Every event goes to every queue named'),
});

export const opsSchema = map({
  host: hostName
    .prefault('127.0.0.1')
    .describe('Loopback by default; protect the pages yourself if you choose another address'),
  port: integer(0, 65_535).prefault(9400),
});

const expectedUrl = 'an address like https://example.org';

function publicUrlProblem(text: string): string | null {
  const problem = addressProblem(text, `expected ${expectedUrl}`);
  if (problem !== null) return problem;
  const { pathname } = new URL(text);
  if (!/^[\w.~/-]*$/.test(pathname)) return 'expected a path of letters, digits, "/", "-", "_", "." and "~" only';
  return /\/join\/*$/.test(pathname) ? 'must not end in "/join", which is added to it' : null;
}

export const joinSchema = map({
  host: hostName.prefault('127.0.0.1').describe('Where `invite-rotator join` listens; put a proxy with TLS before it'),
  port: integer(0, 65_535).prefault(9401),
  publicUrl: checkedText(expectedUrl, publicUrlProblem)
    .transform(withoutSlash)
    .optional()
    .describe('What people see before /join/<group>, in QR codes and on pages; may have a path'),
  metrics: map({ host: hostName.prefault('127.0.0.1'), port: integer(0, 65_535) })
    .optional()
    .describe('Serves /metrics here, for a Prometheus on another machine'),
});
