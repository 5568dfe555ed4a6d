/** The part of `check --online` that asks RyzeAPI, shows its progress and prints what it found. */
import type { Config } from '../config/config.ts';
import { formatDuration, formatDurationUp } from '../config/duration.ts';
import { formatSome } from '../config/problems.ts';
import { type Askers, openAskers } from '../online/asker.ts';
import { checkOnline, type GroupFinding, type InstanceFinding, type OnlineFindings } from '../online/check.ts';
import { knownJids } from './knownJids.ts';
import { showProgress } from './progress.ts';
import { plainTable } from './table.ts';

/** Changes nothing. Takes minutes with hundreds of groups, because it uses at most half of the limit. */
export async function askOnline(config: Config): Promise<OnlineFindings> {
  const askers = openAskers(config, process.env);
  try {
    const known = await knownJids(config);
    const progress = showProgress(config.groups.length, announce(config, askers));
    try {
      return await checkOnline(config, askers.all, { knownJids: known, onGroup: progress.step });
    } finally {
      progress.stop();
    }
  } finally {
    await askers.close();
  }
}

/** Says how long it will take, where the limit makes it wait. Returns the longest wait; null if there is none. */
function announce({ groups }: Config, { all }: Askers): number | null {
  let longestMs = 0;
  for (const { instance, asker } of all) {
    const { name, rateLimit } = instance;
    const calls = groups.filter((group) => group.instance === name).length + 2;
    if ('problem' in asker || calls <= asker.perWindow()) continue;
    const waitMs = (Math.ceil(calls / asker.perWindow()) - 1) * rateLimit.perMs;
    const pace = `at most ${asker.perWindow()} in ${formatDuration(rateLimit.perMs)}, half of the limit`;
    process.stderr.write(`${name}: ${calls} calls, ${pace}: about ${formatDurationUp(waitMs)}\n`);
    longestMs = Math.max(longestMs, waitMs);
  }
  return longestMs === 0 ? null : longestMs;
}

/** One line for each instance, and for each group, that would fail. */
export function failureLines({ instances, groups }: OnlineFindings): string[] {
  const unchecked = (name: string) => groups.filter((group) => group.instance === name && !group.checked).length;
  return [
    ...instances.flatMap(({ instance, problem }) =>
      problem === null ? [] : [`instance ${instance}: ${problem}${uncheckedText(unchecked(instance))}`],
    ),
    ...groups.flatMap(({ group, problem }) => (problem === null ? [] : [`${group}: ${problem}`])),
  ];
}

function uncheckedText(count: number): string {
  if (count === 0) return '';
  return count === 1 ? '; 1 group was not checked' : `; ${count} groups were not checked`;
}

export function renderOnline(config: Config, findings: OnlineFindings): string {
  const { instances, groups } = findings;
  const table = plainTable(['INSTANCE', 'TOKEN', 'CONNECTED', 'LIMIT', 'GROUPS', 'MEMBER', 'LINK VISIBLE']);
  for (const finding of instances) {
    const own = groups.filter(({ instance }) => instance === finding.instance);
    table.push([
      finding.instance,
      answerText(finding.token, 'accepted', 'refused'),
      connectionText(finding),
      limitText(config, finding),
      String(own.length),
      membersText(own),
      String(own.filter(({ linkVisible }) => linkVisible === true).length),
    ]);
  }
  const failures = failureLines(findings);
  const result =
    failures.length === 0 ? ['No group would fail, as far as RyzeAPI shows.'] : ['These would fail:', ...failures];
  return ['RyzeAPI says:', '', table.toString(), '', ...hiddenText(groups), ...result].join('\n');
}

function answerText(answer: boolean | null, yes: string, no: string): string {
  if (answer === null) return 'unknown';
  return answer ? yes : no;
}

function membersText(groups: readonly GroupFinding[]): string {
  if (groups.length > 0 && groups.every(({ member }) => member === null)) return 'unknown';
  return String(groups.filter(({ member }) => member === true).length);
}

function connectionText({ connected, state }: InstanceFinding): string {
  const text = answerText(connected, 'yes', 'no');
  return connected === true || state === null ? text : `${text} (${state})`;
}

function limitText({ instances }: Config, { instance, limit }: InstanceFinding): string {
  const max = instances.find(({ name }) => name === instance)?.rateLimit.max;
  if (limit === null) return 'unknown';
  return limit === max ? String(limit) : `${limit} (the file says ${max})`;
}

const maxNamed = 10;

/** A missing link is no failure: what RyzeAPI shows to members who are not admins is not documented. */
function hiddenText(groups: readonly GroupFinding[]): string[] {
  const hidden = groups.filter(({ checked, problem, linkVisible }) => checked && problem === null && !linkVisible);
  if (hidden.length === 0) return [];
  const names = hidden.map(({ group }) => group);
  return [`No link is shown for ${formatSome(names, maxNamed)}: whether the phone is an admin there is unknown.`, ''];
}
