/** What a worker does with a job, and what the server does with its calls. */
import type { Attempt } from '../../src/groups/record.ts';
import type { Work } from '../../src/rotation/types.ts';
import type { CallOutcome } from '../../src/ryze/outcome.ts';
import { slideIntoWindow } from '../../src/schedule/schedule.ts';
import { rejected, resetTo, shows, unknown } from '../support/outcomes.ts';
import { isGivenAway } from './edits.ts';
import { withoutJob } from './jobs.ts';
import {
  apply,
  carryOn,
  doNext,
  inWindow,
  type Model,
  mistaken,
  nameOf,
  oneAtATime,
  type Step,
  settleMs,
} from './model.ts';
import {
  type Activity,
  idle,
  jid,
  nameOfJob,
  type Origin,
  type Process,
  type State,
  type Times,
  tickMs,
  type Wire,
} from './state.ts';

type Doing<At extends Activity['at']> = Activity & { readonly at: At };

export function act(state: State, model: Model, index: number, { doing, name }: Process): Step[] {
  switch (doing.at) {
    case 'idle':
      return state.jobs.flatMap((work) => begin(state, model, index, work));
    case 'begun':
      if (maySend(state, model, doing.attempt)) return [send(state, model, index, doing)];
      return [end(state, model, index, doing, null, `${name} is too late to send`)];
    case 'resetting':
      return awaitReset(state, model, index, doing);
    case 'reading':
      return awaitRead(state, model, index, doing);
    case 'failed':
      return afterFailure(state, model, index, doing);
    case 'checked':
      throw new Error(`${name} rests between check and sending, and is not frozen`);
  }
}

/** `look` in `rotate.ts`, then `startAttempt` in `call.ts`. */
function begin(state: State, model: Model, index: number, work: Work): Step[] {
  const { protocol, times } = model;
  const { nowMs, counter } = state;
  const name = nameOf(state, index);
  const over = (says: string, left = state): Step[] => {
    return [{ says: `${name} ${says}`, to: withoutJob(left, work), usual: true }];
  };
  if (work.kind === 'request' && isGivenAway(state)) return over(`does ${work.identity} for the other group`);

  const { record } = protocol.transition(state.record, { kind: 'expired' }, nowMs, settleMs(model));
  const step = protocol.decide(record, work, nowMs);
  if (step.do === 'finish') return over(`ends the job "${nameOfJob(work)}": ${step.as}`, { ...state, record });
  if (step.do === 'wait') {
    const isForOwner = step.why === 'busy' && work.kind === 'verification';
    return isForOwner ? over('leaves the read to the process that works on the group') : [];
  }
  const attempt: Attempt = {
    id: `a${counter}`,
    call: step.do,
    begunAt: nowMs,
    leaseUntil: nowMs + times.lease * tickMs,
    request: work.kind === 'request' ? { ...work.request, identity: work.identity } : null,
    covers: null,
  };
  const begun = protocol.transition(record, { kind: 'started', attempt }, nowMs, settleMs(model));
  const taking = state.record.attempt === null ? '' : ' takes over and';
  const next: Activity =
    step.do === 'reset' ? { at: 'begun', work, attempt } : { at: 'reading', work, attempt, sentAt: nowMs, seen: null };
  const to = doNext({ ...state, record: begun.record, counter: counter + 1 }, index, next);
  const says = `${name}${taking} records a ${step.do} (${nameOfJob(work)})`;
  const isLate = step.do === 'reset' && work.kind === 'scheduled' && !isWindowOpen(state);
  return [{ says, to, usual: true, breaks: isLate ? inWindow : undefined }];
}

function isWindowOpen({ record: { entry }, nowMs }: State): boolean {
  return entry === null || slideIntoWindow(entry.schedule, nowMs) === nowMs;
}

export function maySend(state: State, { times }: Model, attempt: Attempt): boolean {
  return state.nowMs - attempt.begunAt <= times.sendWithin * tickMs;
}

export function send(state: State, model: Model, index: number, { work, attempt }: Doing<'begun' | 'checked'>): Step {
  const { nowMs: sentAt } = state;
  const inTurn = state.record.attempt?.id === attempt.id && maySend(state, model, attempt);
  const wire: Wire = { begunAt: attempt.begunAt, sentAt, code: null, inTurn, lost: null, mistaken: false };
  const others = inTurn ? inFlight(state, model).filter((other) => other.inTurn) : [];
  const excused = others.every((other) => other.mistaken) ? mistaken : oneAtATime;
  const breaks = others.length === 0 ? undefined : excused;
  const to = doNext(state, index, { at: 'resetting', work, attempt, wire });
  return { says: `${nameOf(state, index)} sends its reset`, to, usual: true, breaks };
}

/** Resets that may still take effect. */
export function inFlight({ orphans, processes, nowMs }: State, { times }: Model): Wire[] {
  const awaited = processes.flatMap(({ doing }) => (doing.at === 'resetting' ? [doing.wire] : []));
  return [...orphans, ...awaited].filter((wire) => isOpen(wire, nowMs, times));
}

export function isOpen(wire: Wire, nowMs: number, times: Times): boolean {
  return wire.code === null && nowMs < wire.sentAt + times.effectWithin * tickMs;
}

/** The server's part of a reset. */
export function serve(state: State, model: Model, index: number, doing: Activity): Step[] {
  if (doing.at !== 'resetting' || !isOpen(doing.wire, state.nowMs, model.times)) return [];
  const effect = takeEffect(state, model, doing.wire);
  const to = carryOn(effect.state, index, { ...doing, wire: effect.wire });
  return [{ says: `${nameOf(state, index)}'s reset takes effect: ${effect.wire.code}`, to, usual: true }];
}

export function takeEffect(state: State, { times }: Model, wire: Wire): { readonly state: State; readonly wire: Wire } {
  const { nowMs, counter } = state;
  const code = `c${counter}`;
  const late = nowMs >= wire.begunAt + times.settle * tickMs;
  const origin: Origin = { by: 'reset', inTurn: wire.inTurn, late, lost: wire.lost, cameBack: false };
  return { state: { ...state, live: code, origin, counter: counter + 1 }, wire: { ...wire, code } };
}

function awaitReset(state: State, model: Model, index: number, doing: Doing<'resetting'>): Step[] {
  const { wire } = doing;
  const name = nameOf(state, index);
  const open = isOpen(wire, state.nowMs, model.times);
  const steps = serve(state, model, index, doing);
  if (wire.code !== null) {
    steps.push(end(state, model, index, doing, resetTo(wire.code, jid), `${name} hears of ${wire.code}`));
  } else if (!open) {
    steps.push(end(state, model, index, doing, unknown(false), `${name} hears nothing`));
  }
  const worse = withBadAnswer(state);
  if (worse === null || (wire.code === null && !open)) return steps;
  const orphan: Wire = { ...wire, lost: 'unanswered' };
  const left = wire.code === null ? { ...worse, orphans: [...worse.orphans, orphan] } : worse;
  const bad = (from: State, outcome: CallOutcome, says: string) =>
    steps.push({ ...end(from, model, index, doing, outcome, `${name} ${says}`), usual: false });
  bad(left, unknown(false), 'hears nothing');
  bad(worse, unknown(true), 'hears of an error of the server');
  if (wire.code === null) bad(worse, rejected, 'is refused');
  return steps;
}

function awaitRead(state: State, model: Model, index: number, doing: Doing<'reading'>): Step[] {
  const { seen } = doing;
  const name = nameOf(state, index);
  const steps: Step[] = [];
  if (seen === null) {
    const to = doNext(state, index, { ...doing, seen: state.live });
    steps.push({ says: `${name}'s ${doing.attempt.call} reads ${state.live}`, to, usual: true });
  } else {
    steps.push(end(state, model, index, doing, shows(seen, jid), `${name} hears of ${seen}`));
  }
  const worse = withBadAnswer(state);
  if (worse === null) return steps;
  const bad = (from: State, outcome: CallOutcome, says: string) =>
    steps.push({ ...end(from, model, index, doing, outcome, `${name} ${says}`), usual: false });
  bad(worse, unknown(false), 'hears nothing');
  if (seen === null) bad(worse, shows(null, jid), 'is shown no link');
  return steps;
}

function withBadAnswer(state: State): State | null {
  const { left } = state;
  return left.badAnswers === 0 ? null : { ...state, left: { ...left, badAnswers: left.badAnswers - 1 } };
}

/** `storeOutcome` in `call.ts`, and what `rotate.ts` does by the outcome. */
function end(
  state: State,
  model: Model,
  index: number,
  { work, attempt }: Doing<'begun' | 'resetting' | 'reading'>,
  outcome: CallOutcome | null,
  says: string,
): Step {
  // Two steps of one tick happen one after the other: this one later than the attempt that is there already.
  const meets = state.record.attempt;
  const soon = meets !== null && meets.id !== attempt.id && meets.begunAt === state.nowMs ? 1 : 0;
  const { to: stored, changed, breaks } = apply(state, model, { kind: 'ended', attempt, outcome }, state.nowMs + soon);
  const { fenced, record } = changed;
  const isSent = state.processes[index]?.doing.at !== 'begun';
  const failed = isSent && !fenced && (outcome?.kind === 'unknown' || outcome?.kind === 'rejected');
  const done =
    !fenced && !failed && (outcome?.kind === 'reset' || (outcome?.kind === 'read' && work.kind === 'verification'));
  const isRecovered = record.revision !== state.record.revision && record.reason === 'recovery';
  const known = isRecovered ? mistakeOpenWires(stored) : stored;
  const blind = outcome?.kind === 'read' && !fenced ? outcome.inviteCode === null : state.blind;
  const next: Activity = failed ? { at: 'failed', work, call: attempt.call as Doing<'failed'>['call'] } : idle;
  const to = doNext({ ...known, blind }, index, next);
  return {
    says: fenced ? `${says}: fenced` : says,
    to: done ? withoutJob(to, work) : to,
    usual: true,
    breaks,
  };
}

/** A reset that has not taken effect did not make the code that was read back. */
function mistakeOpenWires(state: State): State {
  const mistake = (wire: Wire) => (wire.code === null ? { ...wire, mistaken: true } : wire);
  const processes = state.processes.map((process) => {
    const { doing } = process;
    return doing.at === 'resetting' ? { ...process, doing: { ...doing, wire: mistake(doing.wire) } } : process;
  });
  return { ...state, orphans: state.orphans.map(mistake), processes };
}

function afterFailure(state: State, model: Model, index: number, { work, call }: Doing<'failed'>): Step[] {
  const name = nameOf(state, index);
  const steps: Step[] = [];
  if (work.kind === 'verification') {
    const { to } = apply(state, model, { kind: 'postponed' }, state.nowMs);
    steps.push({ says: `${name} puts the read off`, to: withoutJob(doNext(to, index, idle), work), usual: true });
  } else {
    steps.push({ says: `${name} will try again`, to: doNext(state, index, idle), usual: true });
  }
  if (work.kind === 'verification' && call !== 'adopt') return steps;
  const failure = { code: 'timeout', message: 'no answer', httpStatus: null } as const;
  const { to } = apply(state, model, { kind: 'gaveUp', work, failure }, state.nowMs);
  const says = `${name} gives up (${nameOfJob(work)})`;
  return [...steps, { says, to: withoutJob(doNext(to, index, idle), work), usual: true }];
}
