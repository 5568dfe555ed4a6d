/** `invite-rotator status`: how every group and instance is doing, as a table or as JSON. */
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import {
  budgetText,
  consumerTroubles,
  eventsText,
  gateText,
  outcomeText,
  pausedText,
  queueText,
  relativeTime,
  remarksText,
  span,
} from '../status/format.ts';
import { type GroupState, readStatus, type Status } from '../status/status.ts';
import { type CommonOptions, readConfig, stopSignal, withRedis } from './context.ts';
import { plainTable } from './table.ts';

export interface StatusOptions extends CommonOptions {
  readonly watch?: boolean;
}

const watchEveryMs = 2_000;

export async function status(options: StatusOptions): Promise<number> {
  const config = await readConfig(options);
  return await withRedis(config.redis, async ({ redis, keys }) => {
    const show = async () => {
      const now = await readStatus(redis, keys, config);
      if (options.json) process.stdout.write(`${JSON.stringify(now)}\n`);
      else process.stdout.write(`${options.watch ? '\x1b[2J\x1b[H' : ''}${renderStatus(now)}\n`);
    };
    await show();
    if (!options.watch) return 0;
    const stopped = stopSignal().then(() => true);
    while (!(await Promise.race([stopped, sleep(watchEveryMs, false)]))) await show();
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
  const groups = plainTable(['GROUP', 'STATE', 'LINK AGE', 'REVISION', 'NEXT ROTATION', 'LAST OUTCOME', 'LAST ERROR']);
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
      remarksText(group) || '-',
    ]);
  }
  const instances = plainTable(['INSTANCE', 'BUDGET', 'QUEUE', 'GATE']);
  for (const instance of status.instances) {
    instances.push([instance.instance, budgetText(instance), queueText(instance), gateText(instance)]);
  }
  const waiting = Object.entries(status.outbox).filter(([, count]) => count > 0);
  return [
    groups.toString(),
    '',
    instances.toString(),
    '',
    status.lastTickAgeMs === null
      ? 'The planner has never run here: is the worker running?'
      : `The planner last ran ${span(status.lastTickAgeMs)} ago.`,
    ...status.paused.map((queue) => `${pausedText(queue)}.`),
    ...waiting.map(([queue, count]) => `${count} events wait to be published to ${queue}.`),
    ...Object.entries(status.resultsByState).flatMap(([queue, counts]) => [
      ...(status.results[queue] === 0 ? [] : [eventsText(queue, counts)]),
      ...consumerTroubles(queue, counts),
    ]),
  ].join('\n');
}
