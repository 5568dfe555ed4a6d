/**
 * An entry of `groups`; `defaults`, which may set every key of a group but `id`, `identifier` and `title`; and the group that
 * results from both.
 */
import { z } from 'zod';
import { groupId } from '../contract/event.ts';
import { parseIdentifier, readIdentifier } from '../ryze/identifier.ts';
import { cronProblem } from '../schedule/cron.ts';
import { firstSeenKinds, type Schedule } from '../schedule/schedule.ts';
import { isTimezone } from '../schedule/wallClock.ts';
import { weekdays } from '../schedule/window.ts';
import type { GroupConfig } from './config.ts';
import { didYouMeanTimezone } from './nearMiss.ts';
import { describeValue } from './problems.ts';
import { checkedText, checkKeys, checkNotBoth, dayMs, distinct, duration, map } from './values.ts';

/** In minutes since midnight. */
function timeOfDay(pattern: RegExp, example: string) {
  const error = `expected a time of day like "${example}", in quotes`;
  return z
    .string({ error })
    .regex(pattern, { error })
    .transform((text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3)));
}

function timezoneProblem(name: string): string {
  const found = `expected an IANA time zone such as America/Sao_Paulo or UTC, found ${describeValue(name)}`;
  if (/^(utc|gmt)?[+-]\d/i.test(name.trim())) return `${found}: an offset does not follow clock changes`;
  return `${found}${didYouMeanTimezone(name)}`;
}

const windowSchema = checkKeys(
  map({
    from: timeOfDay(/^([01]\d|2[0-3]):[0-5]\d$/, '02:00').describe('Time of day at which it opens'),
    to: timeOfDay(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, '05:00').describe('Before "from": on the next day'),
    days: distinct(z.array(z.enum(weekdays)).min(1, { error: 'name at least one day' }))
      .prefault([...weekdays])
      .describe('Days on which it opens'),
  }),
  ({ valid: { from, to } }, report) => {
    if (from !== undefined && from === to) report([], '"from" and "to" are the same: the window is never open');
  },
).transform(({ from, to, days }) => ({ fromMinute: from, toMinute: to, days }));

/**
 * No key has a default here: a group's own value takes precedence over `defaults`, and `defaults` over the program's
 * default.
 */
const scheduleKeys = {
  instance: z.string().optional().describe('Name of one of the instances; may be left out when there is only one'),
  every: duration(1_000, 3_650 * dayMs)
    .optional()
    .describe('Time from one rotation to the next'),
  cron: checkedText('a cron expression such as "0 9 * * MON"', (cron) => {
    const problem = cronProblem(cron);
    return problem === null ? null : `is not a cron expression: ${problem}`;
  })
    .optional()
    .describe("minute hour day month weekday, in the group's time zone"),
  timezone: checkedText('an IANA time zone such as America/Sao_Paulo', (name) =>
    isTimezone(name) ? null : timezoneProblem(name),
  )
    .optional()
    .describe('IANA name; UTC if none is set'),
  window: windowSchema.optional().describe('Scheduled rotations only inside it; one-offs at any time'),
  firstSeen: z
    .enum(firstSeenKinds)
    .optional()
    .describe(
      'First rotation of a new group, whose live link is read and published before. spread (default): at a fixed phase of the period; wait: after a full period; rotate: at once',
    ),
  enabled: z
    .boolean()
    .optional()
    .describe('false: no scheduled rotations and no verification; one-offs still work (default true)'),
};

const notBoth = { not: { required: ['every', 'cron'] } };

export const defaultsSchema = checkKeys(
  map(scheduleKeys, { title: 'has no effect here: each group has a title of its own' }),
  (defaults, report) => checkNotBoth(defaults, ['every', 'cron'], report),
).meta(notBoth);

const expectedTitle = 'a title of 1 to 100 characters on one line';

function titleProblem(title: string): string | null {
  const { length } = title.trim();
  return length >= 1 && length <= 100 && !/[\p{Cc}\u2028\u2029]/u.test(title.trim())
    ? null
    : `expected ${expectedTitle}`;
}

export const groupSchema = checkKeys(
  map({
    id: z
      .string()
      .regex(groupId, {
        error: 'expected 1 to 64 of a-z, 0-9, "_" or "-", beginning with a letter or digit',
      })
      .describe('Name of the group in this program'),
    identifier: checkedText(
      'a JID (…@g.us), an invite code or an invite link, as text (put it in quotes)',
      (text) => {
        const read = readIdentifier(text);
        return 'problem' in read ? read.problem : null;
      },
      ': digits alone are not a JID, which ends in @g.us',
    ).describe('JID, invite code or invite link'),
    title: checkedText(`${expectedTitle}, in quotes`, titleProblem)
      .transform((title) => title.trim())
      .optional()
      .describe('Name of the group for people who are invited; the id if none is set'),
    ...scheduleKeys,
  }),
  (group, report) => checkNotBoth(group, ['every', 'cron'], report),
).meta(notBoth);

export type Defaults = z.output<typeof defaultsSchema>;
export type GroupKeys = z.output<typeof groupSchema>;

/** Groups with the same schedule get the same object: a file has few, also with a hundred thousand groups. */
export function groupResolver(defaults: Defaults, onlyInstance: string | undefined) {
  const schedules = new Map<string, Schedule>();
  return (own: GroupKeys): GroupConfig | null => {
    const group = resolveGroup(own, defaults, onlyInstance);
    if (group === null) return null;
    const key = JSON.stringify(group.schedule);
    const schedule = schedules.get(key) ?? group.schedule;
    schedules.set(key, schedule);
    return { ...group, schedule };
  };
}

/** Null if no instance or no schedule results. A group's own `every` or `cron` replaces a default of either kind. */
function resolveGroup(own: GroupKeys, defaults: Defaults, onlyInstance: string | undefined): GroupConfig | null {
  const instance = own.instance ?? defaults.instance ?? onlyInstance;
  const identifier = parseIdentifier(own.identifier);
  const schedule = resolveSchedule(own, defaults);
  if (instance === undefined || identifier === null || schedule === null) return null;
  return {
    id: own.id,
    identifier,
    title: own.title ?? null,
    instance,
    schedule,
    firstSeen: own.firstSeen ?? defaults.firstSeen ?? 'spread',
    enabled: own.enabled ?? defaults.enabled ?? true,
  };
}

function resolveSchedule(own: Defaults, defaults: Defaults): Schedule | null {
  const { every, cron } = own.every === undefined && own.cron === undefined ? defaults : own;
  const timezone = own.timezone ?? defaults.timezone ?? 'UTC';
  const window = own.window ?? defaults.window ?? null;
  if (every !== undefined) return { timezone, window, kind: 'every', everyMs: every };
  return cron === undefined ? null : { timezone, window, kind: 'cron', cron };
}
