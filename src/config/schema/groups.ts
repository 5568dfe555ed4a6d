/** An entry of `groups`, and `defaults`, which may set any of its keys but `id` and `identifier`. */
import { z } from 'zod';
import { parseIdentifier } from '../../ryze/identifier.ts';
import { cronProblem } from '../../schedule/cron.ts';
import { firstSeenKinds } from '../../schedule/schedule.ts';
import { isTimezone } from '../../schedule/wallClock.ts';
import { weekdays } from '../../schedule/window.ts';
import { nearestTimezone } from '../suggest.ts';
import { checkedText, dayMs, duration } from './values.ts';

/** Minutes since midnight. */
function timeOfDay(pattern: RegExp, example: string) {
  const error = `expected a time of day like "${example}", in quotes`;
  return z
    .string({ error })
    .regex(pattern, { error })
    .transform((text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3)));
}

export const windowMap = z.strictObject({
  from: timeOfDay(/^([01]\d|2[0-3]):[0-5]\d$/, '02:00').describe('Time of day at which it opens'),
  to: timeOfDay(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, '05:00').describe('Before "from": on the next day'),
  days: z
    .array(z.enum(weekdays))
    .min(1, { error: 'a window that opens on no day is never open' })
    .prefault([...weekdays])
    .describe('Days on which it opens'),
});

/** Nothing has a default here: a group's own value goes before the one in `defaults`, and that before the program's. */
const scheduleKeys = {
  instance: z.string().optional().describe('Name of one of the instances; may be left out when there is only one'),
  every: duration(1_000, 3_650 * dayMs)
    .optional()
    .describe('Time from one rotation to the next'),
  cron: checkedText('a cron expression such as "0 9 * * MON"', (cron) => {
    const problem = cronProblem(cron);
    return problem === null ? null : `no cron expression: ${problem}`;
  })
    .optional()
    .describe("minute hour day month weekday, in the group's time zone"),
  timezone: checkedText('an IANA time zone such as America/Sao_Paulo', timezoneProblem)
    .optional()
    .describe('IANA name; UTC where none is given'),
  window: windowMap.optional().describe('Scheduled rotations only inside it; one-offs at any time'),
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

export const defaultsMap = z.strictObject(scheduleKeys).meta(notBoth);

export const groupMap = z
  .strictObject({
    id: z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, {
        error: 'expected 1 to 64 of a-z, 0-9, "_" or "-", beginning with a letter or digit',
      })
      .describe('Name of the group in this program'),
    identifier: checkedText(
      'a JID, an invite code or an invite link, as text (put it in quotes)',
      identifierProblem,
    ).describe('JID, invite code or invite link'),
    ...scheduleKeys,
  })
  .meta(notBoth);

function identifierProblem(text: string): string | null {
  if (parseIdentifier(text) !== null) return null;
  return 'expected a JID (…@g.us), an invite code or an invite link (https://chat.whatsapp.com/…)';
}

function timezoneProblem(name: string): string | null {
  if (isTimezone(name)) return null;
  const best = nearestTimezone(name);
  const hint = best === null ? '' : `; did you mean "${best}"?`;
  return `expected an IANA time zone such as America/Sao_Paulo or UTC${hint}`;
}
