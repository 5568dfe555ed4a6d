/**
 * A status as the lines of a terminal: totals, what needs attention, instances, then groups, worst first. On a terminal no
 * line is wider than it; with `rows`, there are no more lines than it has. Pure.
 */
import { styleText } from 'node:util';
import { formatSome } from '../config/problems.ts';
import { type GroupState, groupStates } from '../groups/states.ts';
import { type Cause, causesOf } from '../status/attention.ts';
import {
  budgetText,
  eventsText,
  instanceStateText,
  outcomeText,
  plannerText,
  plural,
  queueText,
  relativeTime,
  remarksText,
  serversText,
  span,
} from '../status/format.ts';
import type { Status } from '../status/status.ts';
import { plainTable } from './table.ts';
import { fitText, oneLine, wrapText } from './textWidth.ts';

export interface View {
  /** Of the terminal. Null: as wide as it takes. */
  readonly columns: number | null;
  /** Of the terminal. Null: as many as it takes. */
  readonly rows: number | null;
  /** The configuration file that this command has read. */
  readonly file: string;
  readonly hash: string;
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

export function paintState(state: string): string {
  const colour = colours[state as GroupState];
  return colour === undefined ? state : styleText(colour, state, { stream: process.stdout });
}

export function renderStatus(status: Status, view: View): string {
  const { columns, rows } = view;
  const lines = (texts: readonly string[]) => textLines(texts, view);
  const top = lines([totalsText(status), ...workerTexts(status, view), ...queueTexts(status)]);
  const attention = causesOf(status).map(causeText);
  const instances = instanceTable(status, columns).split('\n');
  const groups = groupTable(status, columns).split('\n');
  if (rows === null) {
    const needs = attention.length === 0 ? [] : ['', 'NEEDS ATTENTION', ...lines(attention)];
    return [...top, ...needs, '', ...instances, '', ...groups].join('\n');
  }
  // The cursor is on the last line.
  const height = Math.max(rows - 1, 1);
  const needs = attention.length === 0 ? [] : ['', ...cut(['NEEDS ATTENTION', ...lines(attention)], height / 4)];
  const head = [...top, ...needs, '', ...cut(instances, height / 4), ''];
  return [...head, ...cut(groups, height - head.length)].slice(0, height).join('\n');
}

/** On a terminal: wrapped, or one line for each text if the height is limited. */
function textLines(texts: readonly string[], { columns, rows }: View): string[] {
  const clean = texts.map(oneLine);
  if (columns === null) return clean;
  return rows === null ? clean.flatMap((text) => wrapText(text, columns)) : clean.map((text) => fitText(text, columns));
}

/** At most that many lines, at least a title and one more; the last one counts those that are missing. */
function cut(lines: readonly string[], height: number): string[] {
  const max = Math.max(Math.floor(height), 3);
  if (lines.length <= max) return [...lines];
  return [...lines.slice(0, max - 1), `and ${lines.length - max + 1} more`];
}

/** `300 groups: 2 failing, 298 fresh.` */
function totalsText({ totals: { groups, states } }: Status): string {
  const counts = groupStates.filter((state) => states[state] > 0).map((state) => `${states[state]} ${state}`);
  return counts.length === 0 ? 'No groups.' : `${plural(groups, 'group')}: ${counts.join(', ')}.`;
}

const maxWorkers = 5;

/** The workers that are alive, and the text of the file that each has in force. */
function workerTexts({ at, workers }: Status, { file, hash }: View): string[] {
  if (workers.length === 0) return ['No worker is running.'];
  const nowMs = Date.parse(at);
  const age = (iso: string) => span(Math.max(nowMs - Date.parse(iso), 0));
  const named = workers.map(
    ({ host, pid, version, startedAt }) => `${host} (pid ${pid}, version ${version}, for ${age(startedAt)})`,
  );
  const hashes = [...new Set(workers.map(({ config }) => config.hash))];
  const inForce = hashes.map((one) => {
    const having = workers.filter(({ config }) => config.hash === one);
    const since = having.map(({ config }) => config.since).toSorted()[0] ?? at;
    const where = hashes.length === 1 ? '' : ` on ${having.map(({ host, pid }) => `${host} (pid ${pid})`).join(', ')}`;
    return `Configuration in force${where}: ${one} since ${since.slice(0, 19)}Z (${age(since)}).`;
  });
  const unused = hashes.includes(hash) ? [] : [`${file} is ${hash}: no worker has it in force.`];
  return [`${plural(workers.length, 'worker')}: ${formatSome(named, maxWorkers)}.`, ...inForce, ...unused];
}

function queueTexts({ lastTickAgeMs, resultsByState, results }: Status): string[] {
  const events = Object.entries(resultsByState).filter(([queue]) => results[queue] !== 0);
  return [plannerText(lastTickAgeMs), ...events.map(([queue, counts]) => eventsText(queue, counts))];
}

const maxNamed = 5;

function causeText({ text, since, waiting, groups, count, advice }: Cause): string {
  const names = groups.map(({ group, note }) => (note === '' ? group : `${group} (${note})`));
  const details = [
    since === null ? '' : `since ${since.slice(0, 19)}Z`,
    waiting ?? '',
    names.length === 0 ? '' : formatSome(names, maxNamed, count),
  ].filter((one) => one !== '');
  const rest = details.length === 0 ? '' : ` (${details.join('; ')})`;
  return `${text}${advice === '' ? '' : `: ${advice}`}${rest}.`;
}

function instanceTable({ instances }: Status, columns: number | null): string {
  const fit = { shorten: { STATE: 20, QUEUE: 12, INSTANCE: 10 }, leaveOut: ['SERVED BY', 'QUEUE', 'RATE LIMIT'] };
  const table = plainTable(
    ['INSTANCE', 'RATE LIMIT', 'QUEUE', 'STATE', 'SERVED BY'],
    columns === null ? undefined : { ...fit, width: columns },
  );
  for (const one of instances) {
    table.push([one.instance, budgetText(one), queueText(one), instanceStateText(one), serversText(one)]);
  }
  return table.toString();
}

function groupTable({ at, groups }: Status, columns: number | null): string {
  const nowMs = Date.parse(at);
  const table = plainTable(['GROUP', 'STATE', 'LINK AGE', 'REVISION', 'NEXT ROTATION', 'LAST OUTCOME', 'REMARKS'], {
    width: columns ?? Number.POSITIVE_INFINITY,
    shorten: { REMARKS: 20, GROUP: 16 },
    leaveOut: ['REVISION', 'LAST OUTCOME', 'LINK AGE', 'NEXT ROTATION', 'REMARKS'],
    paint: { STATE: paintState },
  });
  for (const group of groups) {
    const { state, linkAgeMs, revision, nextRotationAt } = group;
    table.push([
      group.group,
      state,
      linkAgeMs === null ? '-' : span(linkAgeMs),
      revision === null ? '-' : String(revision),
      nextRotationAt === null ? '-' : relativeTime(Date.parse(nextRotationAt) - nowMs),
      outcomeText(group),
      remarksText(group, nowMs) || '-',
    ]);
  }
  return table.toString();
}
