/** What the file asks for, as `check` prints it: needs no Redis and no token. Pure but for the rendering. */
import { firstDue } from '../schedule/schedule.ts';
import type { Config, GroupConfig } from './config.ts';
import { formatDuration } from './duration.ts';
import { demands } from './feasibility.ts';

export interface PlannedInstance {
  readonly instance: string;
  readonly groups: number;
  readonly enabled: number;
  /** Resets a minute that its groups ask for, on average. */
  readonly callsPerMinuteAsked: number;
  /** What scheduled work of its token may use, shared with other instances of the same token. */
  readonly callsPerMinuteAllowed: number;
  /** Instances with the same token, as far as the file shows. */
  readonly sharesTokenWith: readonly string[];
  readonly next: readonly PlannedRotation[];
}

export interface PlannedRotation {
  readonly group: string;
  /** For a group that was never rotated; a running worker goes by when it was. */
  readonly at: string;
  readonly schedule: string;
}

export interface Plan {
  readonly file: string;
  readonly instances: readonly PlannedInstance[];
}

const shown = 5;

export function makePlan(
  config: Config,
  askedPerMinute: (groups: readonly GroupConfig[]) => number,
  nowMs: number,
): Plan {
  const allDemands = demands(config);
  return {
    file: config.file,
    instances: config.instances.map((instance) => {
      const demand = allDemands.find(({ instances }) => instances.includes(instance));
      const groups = config.groups.filter(({ instance: name }) => name === instance.name);
      const enabled = groups.filter((group) => group.enabled);
      return {
        instance: instance.name,
        groups: groups.length,
        enabled: enabled.length,
        callsPerMinuteAsked: askedPerMinute(groups),
        callsPerMinuteAllowed: demand?.allowed ?? 0,
        sharesTokenWith: (demand?.instances ?? []).filter((other) => other !== instance).map(({ name }) => name),
        next: enabled
          .map((group) => ({ group, at: firstDue(group.schedule, group.firstSeen, group.id, nowMs) }))
          .sort((a, b) => a.at - b.at)
          .slice(0, shown)
          .map(({ group, at }) => ({ group: group.id, at: new Date(at).toISOString(), schedule: scheduleText(group) })),
      };
    }),
  };
}

export function scheduleText({ schedule }: Pick<GroupConfig, 'schedule'>): string {
  const { window, timezone } = schedule;
  const when =
    schedule.kind === 'every' ? `every ${formatDuration(schedule.everyMs)}` : `cron ${schedule.cron} (${timezone})`;
  if (window === null) return when;
  return `${when}, ${clock(window.fromMinute)} to ${clock(window.toMinute)} ${timezone} ${window.days.join(' ')}`;
}

function clock(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
}
