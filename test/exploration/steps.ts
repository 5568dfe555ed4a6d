/**
 * Every step that can be made from a state. The protocol, `decide` and `transition`, is the program's own, called as
 * `call.ts` and `rotate.ts` call it; what they do around it is modelled here:
 *
 * - looking and beginning are one step: what was looked at is decided again when the attempt is recorded, so that a
 *   look by itself changes nothing;
 * - so are recording and sending a read: before the server reads, it does nothing that another could notice;
 * - who lives renews its lease as time goes on; who is frozen or dead does not;
 * - an answer on its way and an answer that is about to be stored are one state: nobody else can tell them apart;
 * - a job may be done by any worker at any time, by two at once as well, and a verification comes whenever it likes.
 */
import type { Attempt } from '../../src/groups/record.ts';
import type { decide, Ending, GroupRules, Happening, transition, Work } from '../../src/rotation/attempt.ts';
import {
  type Activity,
  jid,
  linkOf,
  type Origin,
  oneOff,
  type Process,
  type State,
  type Times,
  tickMs,
  verification,
  type Wire,
} from './state.ts';

export interface Protocol {
  readonly decide: typeof decide;
  readonly transition: typeof transition;
}

export interface Model {
  readonly protocol: Protocol;
  readonly times: Times;
  readonly rules: GroupRules;
}

export interface Step {
  readonly says: string;
  readonly to: State;
  /** It needs no death, freeze, bad answer or human. */
  readonly usual: boolean;
  /** The promise that this very step breaks. */
  readonly breaks?: string | undefined;
}

export const revisionsGrow = 'revisions grow, and name the one before';
export const oneAtATime = 'one at a time';
/** The case in which there may be two after all. */
export const mistaken = "a read-back took another's code for that of a reset that may still take effect";

type Doing<At extends Activity['at']> = Activity & { readonly at: At };
const idle: Activity = { at: 'idle' };

export function stepsFrom(state: State, model: Model): Step[] {
  const steps: Step[] = [];
  for (const [index, process] of state.processes.entries()) {
    if (process.frozen) steps.push(thaw(state, model, index), ...serve(state, model, index, process.doing));
    else steps.push(...act(state, model, index, process), ...freeze(state, model, index, process));
    if (process.doing.at !== 'idle' && state.left.deaths > 0) steps.push(die(state, model, index, process));
  }
  for (const wire of state.orphans) {
    const { state: to } = takeEffect(state, model, wire);
    const orphans = state.orphans.filter((other) => other !== wire);
    steps.push({ says: `a reset that nobody waits for takes effect: ${to.live}`, to: { ...to, orphans }, usual: true });
  }
  if (state.left.humanResets > 0) steps.push(resetByHand(state));
  steps.push(...passTime(state, model));
  return steps;
}

/** The server's part of a reset. */
function serve(state: State, model: Model, index: number, doing: Activity): Step[] {
  if (doing.at !== 'resetting' || !isOpen(doing.wire, state.nowMs, model.times)) return [];
  const effect = takeEffect(state, model, doing.wire);
  const to = carryOn(effect.state, index, { ...doing, wire: effect.wire });
  return [{ says: `${nameOf(state, index)}'s reset takes effect: ${effect.wire.code}`, to, usual: true }];
}

function act(state: State, model: Model, index: number, { doing, name }: Process): Step[] {
  switch (doing.at) {
    case 'idle':
      return worksOf(state).flatMap((work) => begin(state, model, index, work));
    case 'begun':
      if (maySend(state, model, doing.attempt)) return [send(state, model, index, doing)];
      return [end(state, model, index, doing, { as: 'noEffect' }, `${name} is too late to send`)];
    case 'resetting':
      return awaitReset(state, model, index, doing);
    case 'reading':
      return awaitRead(state, model, index, doing);
    case 'failed':
      return afterFailure(state, model, index, doing.work);
    case 'checked':
      throw new Error(`${name} rests between check and sending, and is not frozen`);
  }
}

function worksOf({ record, nowMs, request }: State): Work[] {
  const works: Work[] = [verification];
  if (record.dueAt !== null && record.dueAt <= nowMs) works.push({ kind: 'scheduled', dueAt: record.dueAt });
  if (request === 'open') works.push(oneOff);
  return works;
}

/** `look` in `rotate.ts`, then `beginAttempt` in `call.ts`. */
function begin(state: State, { protocol, times, rules }: Model, index: number, work: Work): Step[] {
  const { nowMs, counter } = state;
  const name = nameOf(state, index);
  const { record } = protocol.transition(state.record, { kind: 'lapses' }, nowMs, rules);
  const step = protocol.decide(record, work, nowMs);
  if (step.do === 'wait') return [];
  if (step.do === 'finish') {
    if (work.kind !== 'request') return [];
    return [{ says: `${name} finds the one-off answered`, to: { ...state, request: 'done' }, usual: true }];
  }
  const attempt: Attempt = {
    id: `a${counter}`,
    call: step.do,
    begunAt: nowMs,
    leaseUntil: nowMs + times.lease * tickMs,
    request: work.kind === 'request' ? { ...work.request, jobId: work.jobId } : null,
  };
  const begun = protocol.transition(record, { kind: 'begins', attempt }, nowMs, rules);
  const taking = state.record.attempt === null ? '' : ' takes over and';
  const next: Activity =
    step.do === 'reset' ? { at: 'begun', work, attempt } : { at: 'reading', work, attempt, sentAt: nowMs, seen: null };
  const to = doNext({ ...state, record: begun.record, counter: counter + 1 }, index, next);
  return [{ says: `${name}${taking} records a ${step.do} (${work.kind})`, to, usual: true }];
}

function maySend(state: State, { times }: Model, attempt: Attempt): boolean {
  return state.nowMs - attempt.begunAt <= times.sendWithin * tickMs;
}

function send(state: State, model: Model, index: number, { work, attempt }: Doing<'begun' | 'checked'>): Step {
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

function takeEffect(state: State, { times }: Model, wire: Wire): { readonly state: State; readonly wire: Wire } {
  const { nowMs, counter } = state;
  const code = `c${counter}`;
  const late = nowMs >= wire.begunAt + times.settle * tickMs;
  const origin: Origin = { by: 'reset', inTurn: wire.inTurn, late, lost: wire.lost };
  return { state: { ...state, live: code, origin, counter: counter + 1 }, wire: { ...wire, code } };
}

function awaitReset(state: State, model: Model, index: number, doing: Doing<'resetting'>): Step[] {
  const { wire } = doing;
  const name = nameOf(state, index);
  const open = isOpen(wire, state.nowMs, model.times);
  const steps = serve(state, model, index, doing);
  if (wire.code !== null) {
    const link = { jid, ...linkOf(wire.code) };
    steps.push(end(state, model, index, doing, { as: 'made', link }, `${name} hears of ${wire.code}`));
  } else if (!open) {
    steps.push(end(state, model, index, doing, { as: 'unknown', over: false }, `${name} hears nothing`));
  }
  const worse = withBadAnswer(state);
  if (worse === null || (wire.code === null && !open)) return steps;
  const orphan: Wire = { ...wire, lost: 'unanswered' };
  const left = wire.code === null ? { ...worse, orphans: [...worse.orphans, orphan] } : worse;
  const bad = (from: State, ending: Ending, says: string) =>
    steps.push({ ...end(from, model, index, doing, ending, `${name} ${says}`), usual: false });
  bad(left, { as: 'unknown', over: false }, 'hears nothing');
  bad(worse, { as: 'unknown', over: true }, 'hears of an error of the server');
  if (wire.code === null) bad(worse, { as: 'noEffect' }, 'is refused');
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
    const link = { jid, ...linkOf(seen) };
    steps.push(end(state, model, index, doing, { as: 'read', link }, `${name} hears of ${seen}`));
  }
  const worse = withBadAnswer(state);
  if (worse === null) return steps;
  const bad = (from: State, ending: Ending, says: string) =>
    steps.push({ ...end(from, model, index, doing, ending, `${name} ${says}`), usual: false });
  bad(worse, { as: 'unknown', over: false }, 'hears nothing');
  if (seen === null) bad(worse, { as: 'read', link: null }, 'is shown no link');
  return steps;
}

function withBadAnswer(state: State): State | null {
  const { left } = state;
  return left.badAnswers === 0 ? null : { ...state, left: { ...left, badAnswers: left.badAnswers - 1 } };
}

/** `settleAttempt` in `call.ts`, and what `rotate.ts` makes of how it ended. */
function end(
  state: State,
  model: Model,
  index: number,
  { work, attempt }: Doing<'begun' | 'resetting' | 'reading'>,
  ending: Ending,
  says: string,
): Step {
  // Two steps of one tick still come one after the other: this one later than the attempt that it meets.
  const meets = state.record.attempt;
  const soon = meets !== null && meets.id !== attempt.id && meets.begunAt === state.nowMs ? 1 : 0;
  const stored = happen(state, model, { kind: 'ends', attempt, ending }, state.nowMs + soon);
  const sent = state.processes[index]?.doing.at !== 'begun';
  const failed = sent && !stored.fenced && (ending.as === 'unknown' || ending.as === 'noEffect');
  const answered = work.kind === 'request' && ending.as === 'made' && !stored.fenced;
  const recovered = attempt.call === 'readBack' && stored.to.published !== state.published;
  const known = recovered ? mistakeOpenWires(stored.to) : stored.to;
  const blind = ending.as === 'read' && !stored.fenced ? ending.link === null : state.blind;
  const to = doNext({ ...known, blind }, index, failed ? { at: 'failed', work } : idle);
  return {
    says: stored.fenced ? `${says}: fenced` : says,
    to: answered ? { ...to, request: 'done' } : to,
    usual: true,
    breaks: stored.breaks,
  };
}

/** The read-back's code was not made by a reset that has not taken effect. */
function mistakeOpenWires(state: State): State {
  const mistake = (wire: Wire) => (wire.code === null ? { ...wire, mistaken: true } : wire);
  const processes = state.processes.map((process) => {
    const { doing } = process;
    return doing.at === 'resetting' ? { ...process, doing: { ...doing, wire: mistake(doing.wire) } } : process;
  });
  return { ...state, orphans: state.orphans.map(mistake), processes };
}

function afterFailure(state: State, model: Model, index: number, work: Work): Step[] {
  const name = nameOf(state, index);
  if (work.kind === 'verification') {
    const { to } = happen(state, model, { kind: 'postponed' }, state.nowMs);
    return [{ says: `${name} puts the verification off`, to: doNext(to, index, idle), usual: true }];
  }
  const failure = { code: 'timeout', message: 'no answer', httpStatus: null } as const;
  const { to } = happen(state, model, { kind: 'gaveUp', work, failure }, state.nowMs);
  const gaveUp = work.kind === 'request' ? { ...to, request: 'done' as const } : to;
  return [
    { says: `${name} will try again`, to: doNext(state, index, idle), usual: true },
    { says: `${name} gives up (${work.kind})`, to: doNext(gaveUp, index, idle), usual: true },
  ];
}

interface Stored {
  readonly to: State;
  readonly fenced: boolean;
  readonly breaks: string | undefined;
}

/** Stores what becomes of the record, and publishes its events. */
export function happen(state: State, { protocol, rules }: Model, happening: Happening, atMs: number): Stored {
  const { record, events, fenced } = protocol.transition(state.record, happening, atMs, rules);
  let { published } = state;
  let breaks: string | undefined;
  for (const event of events) {
    if (event.type === 'rotation.failed') continue;
    const grows = event.revision > (state.record.revision ?? 0) && event.previousRevision === state.record.revision;
    if (!grows) breaks = revisionsGrow;
    if (published === null || event.revision > published.revision) {
      published = { code: event.inviteCode, revision: event.revision };
    }
  }
  return { to: { ...state, record, published }, fenced, breaks };
}

/** Where it makes a difference: elsewhere it is like being slow, or like dying. */
function freeze(state: State, model: Model, index: number, process: Process): Step[] {
  const { doing, name } = process;
  if (state.left.freezes === 0) return [];
  const left = { ...state.left, freezes: state.left.freezes - 1 };
  const frozen = (next: Activity) => replace({ ...state, left }, index, { ...process, frozen: true, doing: next });
  if (doing.at === 'resetting' || (doing.at === 'reading' && doing.seen !== null)) {
    return [{ says: `${name} freezes`, to: frozen(doing), usual: false }];
  }
  if (doing.at !== 'begun' || !maySend(state, model, doing.attempt)) return [];
  const checked = frozen({ ...doing, at: 'checked' });
  return [{ says: `${name} checks its lease, and freezes before it sends`, to: checked, usual: false }];
}

function thaw(state: State, model: Model, index: number): Step {
  const process = state.processes[index] as Process;
  const thawed = replace(state, index, { ...process, frozen: false });
  if (process.doing.at !== 'checked') return { says: `${process.name} thaws`, to: thawed, usual: true };
  const sent = send(thawed, model, index, process.doing);
  return { ...sent, says: `${process.name} thaws: ${sent.says}` };
}

/** Its requests stay where they are; who comes back in its place starts with nothing. */
function die(state: State, { times }: Model, index: number, { doing, name }: Process): Step {
  const left = { ...state.left, deaths: state.left.deaths - 1 };
  let to = replace({ ...state, left }, index, { name, frozen: false, doing: idle });
  if (doing.at === 'resetting') {
    const wire: Wire = { ...doing.wire, lost: 'died' };
    if (isOpen(wire, state.nowMs, times)) to = { ...to, orphans: [...to.orphans, wire] };
    if (wire.code === state.live) to = { ...to, origin: { ...to.origin, lost: 'died' } };
  }
  return { says: `${name} dies`, to, usual: false };
}

function resetByHand(state: State): Step {
  const { left, counter } = state;
  const live = `c${counter}`;
  const origin: Origin = { by: 'human', inTurn: true, late: false, lost: null };
  const to = {
    ...state,
    live,
    origin,
    left: { ...left, humanResets: left.humanResets - 1 },
    counter: counter + 1,
  };
  return { says: `somebody resets by hand: ${live}`, to, usual: false };
}

/** Time goes on unless somebody who lives has something to do at once; those who live renew their leases. */
function passTime(state: State, model: Model): Step[] {
  const { times, protocol, rules } = model;
  const nowMs = state.nowMs + tickMs;
  let { record } = state;
  for (const { frozen, doing } of state.processes) {
    if (frozen || doing.at === 'idle') continue;
    if (doing.at === 'failed' || doing.at === 'checked') return [];
    if (doing.at === 'begun') {
      if (!maySend(state, model, doing.attempt)) return [];
      continue;
    }
    const sentAt = doing.at === 'reading' ? doing.sentAt : doing.wire.sentAt;
    if (nowMs > sentAt + times.timeout * tickMs) return [];
    const leaseUntil = nowMs + times.lease * tickMs;
    record = protocol.transition(record, { kind: 'lives', id: doing.attempt.id, leaseUntil }, nowMs, rules).record;
  }
  const orphans = state.orphans.filter((wire) => isOpen(wire, nowMs, times));
  return [{ says: 'a tick passes', to: { ...state, nowMs, record, orphans }, usual: true }];
}

function nameOf(state: State, index: number): string {
  return (state.processes[index] as Process).name;
}

function doNext(state: State, index: number, doing: Activity): State {
  return replace(state, index, { name: nameOf(state, index), frozen: false, doing });
}

/** Frozen or not. */
function carryOn(state: State, index: number, doing: Activity): State {
  return replace(state, index, { ...(state.processes[index] as Process), doing });
}

function replace(state: State, index: number, process: Process): State {
  const processes = state.processes.map((other, i) => (i === index ? process : other));
  return { ...state, processes };
}
