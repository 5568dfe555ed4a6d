/**
 * The configuration file in zod: shapes, bounds, defaults, one schema a section. What needs several sections at once
 * (references, duplicates, what a token can serve) is checked in `build.ts`. The JSON Schema for editors is generated
 * from here (`jsonSchema.ts`).
 */
import { IANAZone } from 'luxon';
import { z } from 'zod';
import { parseIdentifier } from '../ryze/identifier.ts';
import { cronProblem } from '../schedule/cron.ts';
import { firstSeenKinds } from '../schedule/schedule.ts';
import { weekdays } from '../schedule/window.ts';
import { durationPattern, formatDuration, parseDuration } from './duration.ts';

const day = 86_400_000;

/** A duration between two bounds (milliseconds), in milliseconds. */
function duration(leastMs: number, mostMs: number) {
  const expected = 'expected a duration like 250ms, 30s, 5m, 6h or 7d';
  return z
    .string({ error: expected })
    .regex(durationPattern, { error: expected })
    .transform((text, context) => {
      const ms = parseDuration(text) ?? 0;
      if (ms >= leastMs && ms <= mostMs) return ms;
      const bounds = `between ${formatDuration(leastMs)} and ${formatDuration(mostMs)}`;
      context.issues.push({ code: 'custom', message: `expected a duration ${bounds}, found ${text}`, input: text });
      return z.NEVER;
    });
}

const count = (least: number, most: number) => {
  const expected = `expected a whole number from ${least} to ${most}`;
  return z.int({ error: expected }).min(least, { error: expected }).max(most, { error: expected });
};

/** `off`, or YAML's `false`. */
const off = z.union([z.literal('off'), z.literal(false)]);

const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);

const baseUrl = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : null;
  const wrong = (message: string) => {
    context.issues.push({ code: 'custom', message, input: text });
    return z.NEVER;
  };
  if (url === null || !/^https?:$/.test(url.protocol)) return wrong('expected an address like https://ryzeapi.cloud');
  if (url.protocol === 'http:' && !loopback.has(url.hostname) && !/^127\./.test(url.hostname)) {
    return wrong('http would send the token in the clear: use https (http is for loopback hosts only)');
  }
  if (url.username || url.password) return wrong('must not hold a user or password');
  if (url.search || url.hash) return wrong('must not hold a query or fragment');
  return url.href.replace(/\/+$/, '');
});

export const apiSection = z.strictObject({
  baseUrl: baseUrl.default('https://ryzeapi.cloud').describe('Address of RyzeAPI; http only for loopback hosts'),
  timeout: duration(100, 10 * 60_000)
    .default(30_000)
    .describe('For one whole call'),
  settleTime: duration(0, 3_600_000)
    .default(90_000)
    .describe('How long after sending a call without an answer may still take effect'),
});

const rateLimit = z.strictObject({
  max: count(1, 100_000).default(100).describe('Requests in any `per`, as granted to the token'),
  per: duration(100, day).default(60_000),
  reserve: count(0, 99_999).default(10).describe('Of these, left to one-offs'),
});

export const instanceSection = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,100}$/, { error: 'expected 1 to 100 letters, digits, "_" or "-"' })
    .describe('The RyzeAPI instance'),
  tokenEnv: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
      error: 'expected the name of an environment variable such as RYZE_TOKEN, not the token itself',
    })
    .optional()
    .describe('Environment variable that holds the token'),
  tokenFile: z.string().min(1).optional().describe('File that holds the token; read again on reload and after a 401'),
  rateLimit: rateLimit.prefault({}),
  concurrency: count(1, 1_000).default(5).describe('Jobs worked on at the same time'),
  pace: duration(0, day).default(0).describe('Least time between two scheduled resets; one-offs ignore it'),
});

const timeOfDay = z
  .string({ error: 'expected a time of day like "02:00", in quotes' })
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, { error: 'expected a time of day like "02:00", in quotes' })
  .transform((text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3)));

const window = z
  .strictObject({
    from: timeOfDay,
    to: timeOfDay.describe('Earlier than `from`: the window runs over midnight'),
    days: z
      .array(z.enum(weekdays))
      .min(1, { error: 'a window that opens on no day is never open' })
      .refine((days) => new Set(days).size === days.length, { error: 'a day is named twice' })
      .default([...weekdays])
      .describe('Days on which the window opens'),
  })
  .refine(({ from, to }) => from !== to, { error: '"from" and "to" are the same: the window is never open' });

const timezone = z.string().refine((zone) => IANAZone.isValidZone(zone), {
  error: 'expected an IANA time zone such as America/Sao_Paulo or UTC',
});

/** The keys of a group that `defaults` may set as well. Nothing has a default here: `build.ts` merges first. */
const scheduleKeys = {
  instance: z.string().optional().describe('May be left out when there is one instance'),
  every: duration(1_000, 3_650 * day)
    .optional()
    .describe('Time from one rotation to the next'),
  cron: z
    .string()
    .superRefine((cron, context) => {
      const problem = cronProblem(cron, 'UTC');
      if (problem !== null) context.addIssue({ code: 'custom', message: `no cron expression: ${problem}` });
    })
    .optional()
    .describe("Five fields: minute hour day month weekday, in the group's time zone"),
  timezone: timezone.optional().describe('IANA name; UTC where none is given'),
  window: window.optional().describe('Scheduled rotations only inside it'),
  firstSeen: z
    .enum(firstSeenKinds)
    .optional()
    .describe('rotate: due at once; spread: at a fixed phase; wait: a full period'),
  enabled: z.boolean().optional().describe('false: one-offs only'),
};

export const defaultsSection = z.strictObject(scheduleKeys);

export const groupSection = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, {
    error: 'expected 1 to 64 of a-z, 0-9, "_" or "-", beginning with a letter or digit',
  }),
  identifier: z
    .string({ error: 'expected a JID, an invite code or an invite link, as text (quote it if it is all digits)' })
    .superRefine((text, context) => {
      if (parseIdentifier(text) !== null) return;
      const message = 'expected a JID (…@g.us), an invite code or an invite link (https://chat.whatsapp.com/…)';
      context.addIssue({ code: 'custom', message });
    })
    .describe('JID, invite code or invite link'),
  ...scheduleKeys,
});

export const retrySection = z
  .strictObject({
    attempts: count(1, 100).default(6).describe('Calls for one job before giving up for now'),
    baseDelay: duration(0, day).default(2_000),
    maxDelay: duration(0, day).default(300_000),
  })
  .refine(({ baseDelay, maxDelay }) => baseDelay <= maxDelay, { error: '"baseDelay" is longer than "maxDelay"' });

export const verifySection = z.union([
  off,
  z.strictObject({
    every: duration(1_000, 365 * day)
      .default(day)
      .describe('How often each link is read back'),
  }),
]);

const queueName = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,100}$/, { error: 'expected a queue name of letters, digits, "_", "." or "-"' })
  .refine((name) => name !== 'rotation-planner' && !name.startsWith('rotations-'), {
    error: 'is a queue of the program itself',
  });

export const resultsSection = z.strictObject({
  queues: z
    .array(queueName)
    .min(1, { error: 'name at least one results queue' })
    .refine((names) => new Set(names).size === names.length, { error: 'a queue is named twice' })
    .default(['invite-links'])
    .describe('Every event goes to every queue named'),
});

export const redisSection = z.strictObject({
  url: z
    .string()
    .refine((text) => URL.canParse(text) && /^(rediss?|unix):$/.test(new URL(text).protocol), {
      error: 'expected an address like redis://host:6379, rediss://user:password@host:6379/0 or unix:///path/to/socket',
    })
    .optional()
    .describe('REDIS_URL wins over it; without either, an embedded Redis is started'),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_{}.-]{1,64}$/, { error: 'expected letters, digits, "_", "-", "." or a {hash tag}' })
    .default('bull')
    .describe("BullMQ's key prefix"),
});

export const opsSection = off;
export const shutdownTimeoutSection = duration(0, 3_600_000);

/** The whole file; used for its list of keys and for the JSON Schema. Each section is parsed by itself. */
export const fileSchema = z.strictObject({
  api: apiSection.optional(),
  instances: z.array(instanceSection).min(1).describe('RyzeAPI instances: WhatsApp numbers'),
  defaults: defaultsSection.optional().describe('Any key of a group but id and identifier'),
  groups: z.array(groupSection).min(1),
  retry: retrySection.optional(),
  verify: verifySection.optional().describe('Read links back when budget is idle; off turns it off'),
  results: resultsSection.optional(),
  redis: redisSection.optional(),
  ops: opsSection.optional().describe('Only `off` for now: the status pages do not exist yet'),
  shutdownTimeout: shutdownTimeoutSection.default(40_000).optional(),
});

/** Keys by the name of what holds them: for "did you mean". */
export const knownKeys: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(fileSchema.shape),
  api: Object.keys(apiSection.shape),
  instances: Object.keys(instanceSection.shape),
  rateLimit: Object.keys(rateLimit.shape),
  defaults: Object.keys(defaultsSection.shape),
  groups: Object.keys(groupSection.shape),
  window: Object.keys(window.shape),
  retry: Object.keys(retrySection.shape),
  verify: ['every'],
  results: Object.keys(resultsSection.shape),
  redis: Object.keys(redisSection.shape),
};
