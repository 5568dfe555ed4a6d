/** `invite-rotator status`: the state of every group and instance, as a table or as JSON. */
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import {
  budgetText,
  eventsText,
  instanceStateText,
  outcomeText,
  plannerText,
  problemsOf,
  queueText,
  relativeTime,
  remarksText,
  span,
} from '../status/format.ts';
import { type GroupState, readStatus, type Status } from '../status/status.ts';
import { type CommonOptions, readConfig, stopSignal, withRedis } from './context.ts';
import { print } from './output.ts';
import { plainTable } from './table.ts';

export interface StatusOptions extends CommonOptions {
  readonly watch?: boolean;
}

const refreshMs = 2_000;

export async function status(options: StatusOptions): Promise<number> {
  const config = await readConfig(options);
  return await withRedis(config.redis, async (db) => {
    const show = async () => {
      const now = await readStatus(db, config);
      if (options.json) await print(`${JSON.stringify(now)}\n`);
      else await print(`${options.watch ? '\x1b[2J\x1b[H' : ''}${renderStatus(now)}\n`);
    };
    await show();
    if (!options.watch) return 0;
    const stopped = stopSignal().then(() => true);
    while (!(await Promise.race([stopped, sleep(refreshMs, false)]))) await show();
    return 0;
  });
}

const colours: Partial<Record<GroupState, 'red' | 'yellow' | 'green'>> = {
  unreadable_record: 'red',
  uncertain: 'red',
  duplicate: 'red',
  failing: 'red',
  overdue: 'yellow',
  rotating: 'yellow',
  unverified: 'yellow',
  fresh: 'green',
};

export function renderStatus(status: Status): string {
  const nowMs = Date.parse(status.at);
  const groups = plainTable(['GROUP', 'STATE', 'LINK AGE', 'REVISION', 'NEXT ROTATION', 'LAST OUTCOME', 'REMARKS']);
  for (const group of status.groups) {
    const { state, linkAgeMs, revision, nextRotationAt } = group;
    const colour = colours[state];
    groups.push([
      group.group,
      colour === undefined ? state : styleText(colour, state, { stream: process.stdout }),
      linkAgeMs === null ? '-' : span(linkAgeMs),
      revision === null ? '-' : String(revision),
      nextRotationAt === null ? '-' : relativeTime(Date.parse(nextRotationAt) - nowMs),
      outcomeText(group),
      remarksText(group, nowMs) || '-',
    ]);
  }
  const instances = plainTable(['INSTANCE', 'RATE LIMIT', 'QUEUE', 'STATE']);
  for (const instance of status.instances) {
    instances.push([instance.instance, budgetText(instance), queueText(instance), instanceStateText(instance)]);
  }
  const problems = problemsOf(status).map((problem) => `${problem}.`);
  return [
    groups.toString(),
    '',
    instances.toString(),
    '',
    plannerText(status.lastTickAgeMs),
    ...Object.entries(status.resultsByState)
      .filter(([queue]) => status.results[queue] !== 0)
      .map(([queue, counts]) => eventsText(queue, counts)),
    ...(problems.length === 0 ? [] : ['', 'NEEDS ATTENTION', ...problems]),
  ].join('\n');
}
