/**
 * The promises, and the known cases in which they do not hold, each with its name and the faults that it needs. A quiet
 * state with a dead link that no case explains breaks the promise; so does one that a single verification would not
 * heal.
 */
import { isRegistered, isScheduled } from '../../src/groups/record.ts';
import { nextDue } from '../../src/schedule/schedule.ts';
import { isGivenAway } from './edits.ts';
import { dueWork } from './jobs.ts';
import { soonMs } from './key.ts';
import { apply, type Model } from './model.ts';
import { desiredGroup, type GroupId, jid, nothing, type State, tickMs, verification } from './state.ts';
import { inFlight } from './work.ts';

/**
 * Nothing is in progress, and no index has the group due, so no worker looks at it before its next rotation. Jobs do not
 * count, because those still on the queue may get lost.
 */
export function isQuiet(state: State, model: Model): boolean {
  const { record, processes } = state;
  const { settleAt, nextDueAt } = model.protocol;
  if (settleAt(record) !== null) return false;
  // A read that is due later is still awaited, a rotation is not.
  if (dueWork(state, model) !== null || nextDueAt({ ...record, dueAt: null }) !== null) return false;
  return processes.every(({ doing }) => doing.at === 'idle') && inFlight(state, model).length === 0;
}

export const live = 'live';
export const asRegistered = 'scheduled as registered';
export const comesToRest = 'comes to rest';

/** The newest link that is published under the group's id is the live one, and the record's too. */
function isLive(state: State): boolean {
  const { record, consumers, live: code } = state;
  const { entry, link, adopt } = record;
  // No id of the file names it, so nothing is published for it.
  if (entry === null || (entry.group === 'vip' && isGivenAway(state))) return true;
  const { held } = consumers[entry.group as GroupId];
  // Nothing was ever published under this id, and nothing is to be.
  if (held === null) return adopt && !isScheduled(record);
  return held.code === code && link?.code === code;
}

/** By the period in force, unless a rotation failed and is tried again soon. */
function isAsRegistered(record: State['record'], nowMs: number): boolean {
  const { entry, dueAt } = record;
  if (entry === null || !isRegistered(record)) return true;
  if (!entry.enabled) return dueAt === null;
  const last = record.lastResetAt;
  if (dueAt === null) return false;
  return dueAt <= nowMs + soonMs || (last !== null && dueAt === nextDue(entry.schedule, last));
}

export const residuals: readonly { readonly name: string; readonly is: (state: State) => boolean }[] = [
  {
    name: 'a person reset the link, and no read has followed',
    is: ({ origin }) => origin.by === 'human' && !origin.cameBack,
  },
  {
    name: 'frozen between lease check and sending for too long, then killed',
    is: ({ origin }) => !origin.inTurn && origin.late && origin.lost === 'died',
  },
  {
    name: 'frozen between lease check and sending for too long, then not answered',
    is: ({ origin }) => !origin.inTurn && origin.late && origin.lost === 'unanswered',
  },
  { name: 'the read-back showed no link', is: ({ blind }) => blind },
  {
    name: 'disabled or removed before its link was published under its id',
    is: ({ record }) => record.adopt && !isScheduled(record),
  },
];

export function judge(state: State, model: Model): string | null {
  if (!isAsRegistered(state.record, state.nowMs)) return asRegistered;
  if (isLive(state)) return null;
  const residual = residuals.find(({ is }) => is(state));
  if (residual === undefined) return live;
  return isHealed(state, model) ? residual.name : `${residual.name}: not healed by a verification`;
}

/** Whether one verification repairs it, as soon as the file has the group enabled. */
function isHealed(state: State, model: Model): boolean {
  const { decide, withEntry } = model.protocol;
  // By then, the lease of a process that died while reading has expired.
  const nowMs = state.nowMs + (model.times.lease + 1) * tickMs;
  let { record } = apply(state, model, { kind: 'expired' }, nowMs).to;
  if (record.entry !== null && !isScheduled(record)) {
    record = withEntry(record, desiredGroup({ ...record.entry, enabled: true }), jid, nothing, nowMs);
  }
  const step = decide(record, verification, nowMs);
  if (step.do !== 'verify' && step.do !== 'adopt') return false;
  const attempt = {
    id: 'healing',
    call: step.do,
    begunAt: nowMs,
    leaseUntil: nowMs + tickMs,
    request: null,
    covers: null,
  } as const;
  const begun = apply({ ...state, record }, model, { kind: 'started', attempt }, nowMs).to;
  const outcome = { kind: 'read', jid, inviteCode: state.live } as const;
  return isLive(apply(begun, model, { kind: 'ended', attempt, outcome }, nowMs).to);
}
