/**
 * Names a state so that two states have the same name only if the same things can happen from them: times are ticks
 * from now, codes are numbered in order of their appearance, and what is over or never looked at again is left out. Workers
 * may be exchanged for each other.
 */
import type { GroupRecord } from '../../src/groups/record.ts';
import { later, type Process, type State, type Times, tickMs, type Wire } from './state.ts';

export function keyOf(state: State, times: Times): string {
  const { record, nowMs, left, live, origin } = state;
  const codes: string[] = [live];
  const nameCode = (code: string | null) => {
    if (code === null) return '-';
    if (!codes.includes(code)) codes.push(code);
    return codes.indexOf(code);
  };
  const link = nameCode(record.link?.code ?? null);
  const published = nameCode(state.published?.code ?? null);
  const processes = state.processes.map((process) => ({ process, skeleton: skeletonOf(process, state, times) }));
  processes.sort((a, b) => (a.skeleton < b.skeleton ? -1 : 1));
  const said = processes.map(({ skeleton, process: { doing } }) => {
    const code = doing.at === 'resetting' ? doing.wire.code : doing.at === 'reading' ? doing.seen : null;
    return `${skeleton}${nameCode(code)}`;
  });
  const orphans = state.orphans.map((wire) => wireOf(wire, nowMs, times)).sort();
  // Who made the live link matters only where it may turn out that nobody knows it.
  const known = link === 0 && published === 0 && said.every((one) => !/^[wg]/.test(one));
  const from = known ? '' : `${origin.by}${+origin.inTurn}${+origin.late}${origin.lost}`;
  const faults = `${left.deaths}${left.freezes}${left.badAnswers}${left.humanResets}`;
  const flags = `${state.request === 'open' ? 'r' : ''}${state.blind ? 'b' : ''}`;
  return `${recordOf(record, nowMs, times)}|${link}${published}|${said}|${orphans}|${from}|${faults}${flags}`;
}

/** Ticks until then; what is past is past. */
function until(timeMs: number, nowMs: number): number {
  return timeMs <= nowMs ? 0 : Math.ceil((timeMs - nowMs) / tickMs);
}

function recordOf(record: GroupRecord, nowMs: number, times: Times): string {
  const { attempt, uncertain, verificationOwedAt: owedAt, dueAt } = record;
  const due = dueAt === null ? '-' : dueAt === later ? 'l' : until(dueAt, nowMs);
  const owed = owedAt === null ? '-' : until(owedAt, nowMs);
  let begun = '';
  if (attempt !== null) {
    const asked = attempt.request === null ? '' : 'r';
    begun = `${attempt.call}${until(attempt.leaseUntil, nowMs)}${asked}`;
    if (attempt.call === 'reset') begun += until(attempt.begunAt + times.settle * tickMs, nowMs);
    // A read pays or settles only what stood before it began.
    if (attempt.call === 'verify') begun += +(attempt.begunAt >= (owedAt ?? 0));
    if (attempt.call === 'readBack') begun += +(attempt.begunAt >= (uncertain?.openUntil ?? 0));
  }
  let open = '';
  if (uncertain !== null) {
    const { openUntil, readAt, request } = uncertain;
    open = `${openUntil === null ? '-' : until(openUntil, nowMs)}.${until(readAt, nowMs)}${request === null ? '' : 'r'}`;
  }
  return `${due},${owed},${begun},${open},${record.answered.length}${record.revision === null ? 'n' : ''}`;
}

/** All of a process but its code. */
function skeletonOf({ frozen, doing }: Process, { record, nowMs }: State, times: Times): string {
  if (doing.at === 'idle') return '';
  if (doing.at === 'failed') return `f${+frozen}${doing.work.kind[0]}`;
  const { attempt, work } = doing;
  const mine = record.attempt?.id === attempt.id ? 'o' : record.settled === attempt.id ? 's' : 'x';
  const base = `${+frozen}${mine}${work.kind[0]}${attempt.call}`;
  switch (doing.at) {
    case 'begun':
    case 'checked': {
      const most = Math.max(Number.isFinite(times.sendWithin) ? times.sendWithin : 0, times.settle) + 1;
      return `${doing.at[0]}${base}${Math.min((nowMs - attempt.begunAt) / tickMs, most)}`;
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
