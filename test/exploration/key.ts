/**
 * Names a state so that two states have the same name only if the same things can happen from them: times are ticks
 * from now, codes and revisions are numbered in their order, and what can no longer matter is left out. Workers are
 * interchangeable.
 */
import type { Attempt, GroupRecord } from '../../src/groups/record.ts';
import type { Work } from '../../src/rotation/types.ts';
import { isQueued } from './jobs.ts';
import {
  groupIds,
  nameOfJob,
  oneOffs,
  type Process,
  type State,
  schedules,
  startMs,
  type Times,
  tickMs,
  type Wire,
  windowTicks,
} from './state.ts';

export function keyOf(state: State, times: Times): string {
  const { record, nowMs, left, live, origin } = state;
  const codes: string[] = [live];
  const nameCode = (code: string | null) => {
    if (code === null) return '-';
    if (!codes.includes(code)) codes.push(code);
    return codes.indexOf(code);
  };
  const link = nameCode(record.link?.code ?? null);
  const processes = state.processes.map((process) => ({ process, skeleton: skeletonOf(process, state, times) }));
  processes.sort((a, b) => (a.skeleton < b.skeleton ? -1 : 1));
  const said = processes.map(({ skeleton, process: { doing } }) => {
    const code = doing.at === 'resetting' ? doing.wire.code : doing.at === 'reading' ? doing.seen : null;
    return `${skeleton}${nameCode(code)}`;
  });
  const orphans = state.orphans.map((wire) => wireOf(wire, nowMs, times)).sort();
  // Who made the live link matters only if it may turn out that no consumer knows it.
  const known = isHeld(state) && link === 0 && said.every((one) => !/^[wg]/.test(one));
  const from = known ? '' : `${origin.by}${+origin.inTurn}${+origin.late}${origin.lost}${+origin.cameBack}`;
  const jobs = state.jobs.map((work) => jobOf(work, state)).sort();
  const rest = `${Object.values(left).join('')}${state.blind ? 'b' : ''}`;
  return `${recordOf(state, times)}|${entryOf(record, nowMs)}|${consumersOf(state)}|${link}|${said}|${orphans}|${jobs}|${from}|${rest}`;
}

/** Consumers know the live link under each id that the group may still have. */
function isHeld({ consumers, live }: State): boolean {
  return groupIds.every((id) => consumers[id].held === null || consumers[id].held.code === live);
}

const letters = { reset: 's', readBack: 'b', adopt: 'a', verify: 'v', resolve: 'r' } as const;

/** Ticks until then; all past times are alike. */
function until(timeMs: number, nowMs: number): number {
  return timeMs <= nowMs ? 0 : Math.ceil((timeMs - nowMs) / tickMs);
}

function entryOf({ entry, removedAt, replaced }: GroupRecord, nowMs: number): string {
  if (entry === null) return '';
  const { group, instance, enabled, schedule } = entry;
  const kind = schedules.indexOf(schedule);
  const open = schedule.window === null ? '' : `w${Math.min((nowMs - startMs) / tickMs, windowTicks)}`;
  return `${group[0]}${instance.length}${+enabled}${kind}${open}${removedAt === null ? '' : 'x'}${replaced ? 'r' : ''}`;
}

/** Revisions by their order. Of a code that consumers hold, only whether it is live matters. */
function consumersOf({ consumers, record, other, live, kept, spoken }: State): string {
  const codes = groupIds.map((id) => {
    const { held } = consumers[id];
    return held === null ? '-' : held.code === live ? 'l' : 'd';
  });
  const { revision, predecessor } = record;
  const { vip } = consumers;
  const isPlain = other === null && predecessor === null && consumers.club.before === null && kept.vip === null;
  if (isPlain && revision === spoken && revision === vip.before && revision === (vip.held?.revision ?? null))
    return codes.join('');
  const revisions = [
    revision,
    spoken,
    predecessor?.revision ?? null,
    other?.revision ?? null,
    other?.predecessor?.revision ?? null,
    ...groupIds.flatMap((id) => [
      consumers[id].before,
      consumers[id].held?.revision ?? null,
      kept[id]?.revision ?? null,
    ]),
  ];
  const order = [...new Set(revisions.filter((one) => one !== null))].sort((a, b) => a - b);
  const ranks = revisions.map((one) => (one === null ? '-' : order.indexOf(one)));
  const others = other === null ? '' : `${+other.adopt}${+other.replaced}`;
  return `${codes.join('')}${ranks.join('')}${others}`;
}

function recordOf(state: State, times: Times): string {
  const { record, nowMs } = state;
  const { attempt, uncertain, verificationOwedAt: owedAt, readDueAt, failure } = record;
  const at = (timeMs: number | null) => (timeMs === null ? '-' : until(timeMs, nowMs));
  const begun = attempt === null ? '' : attemptOf(attempt, state, times);
  let open = '';
  if (uncertain !== null) {
    open = `${at(uncertain.openUntil)}.${until(uncertain.readAt, nowMs)}${requestOf(uncertain.request)}`;
  }
  const last = record.lastResetAt;
  const reset = last === null ? '-' : nowMs - last > soonMs ? 'o' : 'r';
  const flags = `${record.adopt ? 'a' : ''}${record.revision === null ? 'n' : ''}${failure?.count ?? ''}`;
  const due = dueOf(record.dueAt, state);
  return `${due},${at(readDueAt)},${at(owedAt)},${begun},${open},${reset}${flags},${answersOf(state)}`;
}

function attemptOf(attempt: Attempt, { record, nowMs }: State, times: Times): string {
  const { uncertain, verificationOwedAt: owedAt } = record;
  const text = `${letters[attempt.call]}${until(attempt.leaseUntil, nowMs)}${requestOf(attempt.request)}`;
  if (attempt.call === 'reset') return text + until(attempt.begunAt + times.settle * tickMs, nowMs);
  // A read pays or settles only what was owed before it started.
  if (attempt.call === 'readBack') return `${text}${+(attempt.begunAt >= (uncertain?.openUntil ?? 0))}`;
  return `${text}${+(attempt.begunAt >= (owedAt ?? 0))}`;
}

function requestOf(request: Attempt['request']): string {
  return request === null ? '' : `r${oneOffs.findIndex((work) => nameOfJob(work) === request.identity)}`;
}

/** Which of the open one-offs are answered, and whether they wait for the end of a burst. */
function answersOf(state: State): string {
  const { answered, resetBegunAt } = state.record;
  const open = oneOffs.filter((work) => isQueued(state, work));
  const begunAt = resetBegunAt ?? 0;
  const burst = state.nowMs - begunAt < tickMs ? 'b' : '';
  return open.map((work) => `${+answered.includes(nameOfJob(work))}${+(begunAt >= startMs)}${burst}`).join('');
}

/** Longer than every pause after failures in a row, and shorter than every period. */
export const soonMs = 400 * tickMs;

function dueOf(dueAt: number | null, { record, nowMs }: State): string {
  if (dueAt === null) return '-';
  const last = record.lastResetAt;
  const period = schedules.findIndex((one) => one.kind === 'every' && last !== null && dueAt === last + one.everyMs);
  if (dueAt - nowMs <= soonMs) return `${until(dueAt, nowMs)}${period < 0 ? '' : `p${period}`}`;
  return period < 0 ? 'x' : `p${period}`;
}

function jobOf(work: Work, state: State): string {
  if (work.kind === 'request') return `r${oneOffs.indexOf(work)}`;
  if (work.kind === 'verification') return 'v';
  return `${dueOf(work.dueAt, state)}${work.dueAt === state.record.dueAt ? '=' : ''}${work.dueAt === state.nowMs ? '!' : ''}`;
}

/** Everything of a process but its code. */
function skeletonOf({ frozen, doing }: Process, state: State, times: Times): string {
  const { record, nowMs } = state;
  if (doing.at === 'idle') return '';
  const work = `${jobOf(doing.work, state)}${isQueued(state, doing.work) ? '' : '?'}`;
  if (doing.at === 'failed') return `f${+frozen}${work}${letters[doing.call]}`;
  const { attempt } = doing;
  const mine = record.attempt?.id === attempt.id ? 'o' : record.settled === attempt.id ? 's' : 'x';
  const base = `${+frozen}${mine}${work}${letters[attempt.call]}`;
  switch (doing.at) {
    case 'begun':
    case 'checked': {
      const max = Math.max(Number.isFinite(times.sendWithin) ? times.sendWithin : 0, times.settle) + 1;
      return `${doing.at[0]}${base}${Math.min((nowMs - attempt.begunAt) / tickMs, max)}`;
    }
    case 'resetting':
      return `w${base}${wireOf(doing.wire, nowMs, times)}${waited(doing.wire.sentAt, nowMs, times)}`;
    case 'reading':
      return `g${base}${waited(doing.sentAt, nowMs, times)}`;
  }
}

function waited(sentAt: number, nowMs: number, times: Times): number {
  return Math.min((nowMs - sentAt) / tickMs, times.timeout);
}

function wireOf(wire: Wire, nowMs: number, times: Times): string {
  if (wire.code !== null) return 'd';
  const open = until(wire.sentAt + times.effectWithin * tickMs, nowMs);
  if (open === 0) return 'n';
  return `${open}.${until(wire.begunAt + times.settle * tickMs, nowMs)}${+wire.inTurn}${+wire.mistaken}${wire.lost}`;
}
