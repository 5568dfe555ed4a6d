/** `invite-rotator check`: validates the file and prints the plan. Needs no Redis, and no token without `--online`. */
import type { Config } from '../config/config.ts';
import { formatRate } from '../config/demand.ts';
import { formatDurationUp } from '../config/duration.ts';
import { type FirstStart, makePlan, type Plan, type PlannedInstance, type Preview, previewOf } from '../config/plan.ts';
import { formatSome } from '../config/problems.ts';
import type { Remark } from '../config/remarks.ts';
import { compareWithRedis, comparisonLines } from './compare.ts';
import { CommandError, type CommonOptions, durationOption, readConfig } from './context.ts';
import { print } from './output.ts';
import { plainTable } from './table.ts';

export interface CheckOptions extends CommonOptions {
  /** A duration: print the coming rotations instead of the plan. */
  readonly preview?: string;
  /** Ask RyzeAPI too. */
  readonly online?: boolean;
}

export async function check(options: CheckOptions): Promise<number> {
  const { preview } = options;
  if (preview !== undefined && options.online) throw new CommandError(2, '--preview and --online: choose one of them');
  const previewMs = preview === undefined ? null : durationOption('--preview', preview, '24h or 7d');
  const config = await readConfig(options);
  const nowMs = Date.now();
  if (previewMs !== null) {
    const shown = { file: config.file, ...previewOf(config.groups, nowMs, previewMs) };
    await print(`${options.json ? JSON.stringify(withDates(shown)) : renderPreview(shown)}\n`);
    return 0;
  }
  const plan = makePlan(config, nowMs);
  const comparison = await compareWithRedis(config);
  if (!options.json) await print(`${[renderPlan(plan), '', ...comparisonLines(comparison)].join('\n')}\n`);
  if (options.online) return await checkOnline(config, options, { ...plan, comparison });
  if (options.json) await print(`${JSON.stringify({ ...plan, comparison })}\n`);
  return 0;
}

/** `offline`: what was found without RyzeAPI. */
async function checkOnline(config: Config, { json }: CheckOptions, offline: object): Promise<number> {
  const { askOnline, failureLines, renderOnline } = await import('./checkOnline.ts');
  const online = await askOnline(config);
  const failures = failureLines(online);
  if (json) {
    await print(`${JSON.stringify({ ...offline, online })}\n`);
    for (const line of failures) process.stderr.write(`${line}\n`);
  } else await print(`\n${renderOnline(config, online)}\n`);
  return failures.length === 0 ? 0 : 1;
}

function withDates({ rotations, truncatedAt, ...rest }: Preview & { readonly file: string }) {
  const iso = (at: number) => new Date(at).toISOString();
  return {
    ...rest,
    rotations: rotations.map((rotation) => ({ ...rotation, at: iso(rotation.at) })),
    truncatedAt: truncatedAt === null ? null : iso(truncatedAt),
  };
}

/** More rotations are shown as counts for each hour. */
const maxListed = 200;

function renderPreview({ rotations, truncatedAt, file }: Preview & { readonly file: string }): string {
  const table = rotations.length <= maxListed ? rotationTable(rotations) : hourTable(rotations);
  const more = truncatedAt === null ? [] : ['', `Cut off at ${new Date(truncatedAt).toISOString()}: too many to list.`];
  const title = `${file}: ${rotations.length} rotations to come, if none of these groups was rotated before:`;
  return [title, '', table.toString(), ...more].join('\n');
}

function rotationTable(rotations: Preview['rotations']) {
  const table = plainTable(['AT', 'GROUP', 'INSTANCE']);
  for (const { at, group, instance } of rotations) table.push([new Date(at).toISOString(), group, instance]);
  return table;
}

function hourTable(rotations: Preview['rotations']) {
  const hours = new Map<string, number>();
  for (const { at, instance } of rotations) {
    const hour = `${new Date(at).toISOString().slice(0, 13)}:00Z ${instance}`;
    hours.set(hour, (hours.get(hour) ?? 0) + 1);
  }
  const table = plainTable(['HOUR', 'INSTANCE', 'ROTATIONS']);
  for (const [hour, count] of hours) table.push([...hour.split(' '), String(count)]);
  return table;
}

function renderPlan(plan: Plan): string {
  const instances = plainTable(['INSTANCE', 'GROUPS', 'CALLS A MINUTE', 'ALLOWED', 'BUSIEST MOMENT']);
  for (const instance of plan.instances) {
    const { groups, enabled, callsPerMinuteAsked, callsPerMinuteAllowed, sharesTokenWith, busiestMoment } = instance;
    const shared = sharesTokenWith.length === 0 ? '' : ` (shared with ${formatSome(sharesTokenWith, maxSharers)})`;
    instances.push([
      instance.instance,
      enabled === groups ? String(groups) : `${groups} (${groups - enabled} disabled)`,
      formatRate(callsPerMinuteAsked),
      `${formatRate(callsPerMinuteAllowed)}${shared}`,
      busiestMoment === null ? 'no waiting' : busiestText(busiestMoment),
    ]);
  }
  const next = plainTable(['GROUP', 'NEXT ROTATION', 'SCHEDULE']);
  for (const instance of plan.instances)
    for (const { group, at, schedule } of instance.next) next.push([group, at, schedule]);
  return [
    `${plan.file} is valid.`,
    '',
    firstStartText(plan.firstStart),
    '',
    instances.toString(),
    ...remarkLines(plan.remarks),
    '',
    'Next rotations (up to five for each instance), if none of these groups was rotated before:',
    '',
    next.toString(),
  ].join('\n');
}

/** More instances with the same token are shown as a number. */
const maxSharers = 10;

/** More remarks are shown as a number. */
const maxRemarks = 20;

/** Under the table of instances. */
function remarkLines(remarks: readonly Remark[]): string[] {
  if (remarks.length === 0) return [];
  const lines = remarks
    .slice(0, maxRemarks)
    .map(({ names, count, message }) => `  ${formatSome(names, names.length, count)}: ${message}`);
  const more = remarks.length > maxRemarks ? [`  and ${remarks.length - maxRemarks} more`] : [];
  return ['', 'Remarks, which do not make the file invalid:', ...lines, ...more];
}

/** What the first start does to the links in use, in one sentence. */
function firstStartText({ linksRead, readsTakeMs, replacedAtOnce, replacedLater }: FirstStart): string {
  if (linksRead === 0) return 'The first start reads and replaces no link: no group is enabled.';
  const links = linksRead === 1 ? '1 link' : `${linksRead} links`;
  const soon = readsTakeMs === 0 ? 'within seconds' : `within ${formatDurationUp(readsTakeMs + 60_000)}`;
  const read = `The first start reads and publishes ${links} ${soon}`;
  if (replacedLater === null) return `${read}, and replaces ${linksRead === 1 ? 'it' : 'all of them'} at once.`;
  const [from, to] = [replacedLater.from, replacedLater.to].map((iso) => `${iso.slice(0, 16)}Z`);
  const when = from === to ? `at ${from}` : `between ${from} and ${to}`;
  if (replacedAtOnce === 0)
    return `${read}, and replaces ${linksRead === 1 ? 'it' : 'them'} for the first time ${when}.`;
  return `${read}, replaces ${replacedAtOnce} of them at once, and the other ${replacedLater.links} ${when}.`;
}

/** With what to do about it. */
function busiestText({ at, due, lastWaitsMs }: NonNullable<PlannedInstance['busiestMoment']>): string {
  const wait = formatDurationUp(Math.ceil(lastWaitsMs / 60_000) * 60_000);
  return `${due} at ${at.slice(0, 16)}Z: the last waits ${wait}; spread the cron minutes, or use firstSeen: spread`;
}
