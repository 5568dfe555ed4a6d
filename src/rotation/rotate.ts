/**
 * Carries one piece of work for one group as far as it can go now: reads what is remembered, makes the calls that are
 * due one after the other, and says how it ended. Every way to end is a member of `Rotation`; `worker/process.ts` is
 * the one place that turns it into BullMQ's terms. Events are committed here, and published by the caller.
 *
 * A group's work may be started by anybody at any time, twice or at once: the record decides what happens.
 */
import type { Denial } from '../budget/budget.ts';
import { closeGate, type Gate, openGate } from '../budget/gate.ts';
import type { RetryConfig } from '../config/config.ts';
import { claimJid } from '../groups/jids.ts';
import type { GroupRecord } from '../groups/record.ts';
import type { CallFailure } from '../ryze/outcome.ts';
import * as attempts from './attempt.ts';
import { type CallDependencies, makeCall, type Target } from './call.ts';
import { doorOf, retryDelayMs } from './failure.ts';
import { doubtMs, endReprieve, isReprieved, suspect } from './suspicion.ts';

export type Rotation =
  /** The group has a link that answers this work. */
  | { readonly status: 'rotated' | 'recovered' | 'satisfied'; readonly record: GroupRecord }
  /** Its link was read back; `changed`: by somebody else, and published. */
  | { readonly status: 'verified'; readonly changed: boolean }
  /** Nothing to do any more: rescheduled, removed or disabled since this was queued. */
  | { readonly status: 'obsolete' }
  /** Come back later; costs no try. `closed`: nothing else of this instance can go either. */
  | {
      readonly status: 'wait';
      readonly ms: number;
      readonly why: 'busy' | 'settling' | Denial;
      readonly closed: boolean;
    }
  /** A call failed for the group's own reason: look again after `ms`, with this failure, before it is blamed. */
  | { readonly status: 'doubted'; readonly ms: number; readonly failure: attempts.Failure }
  /** A call failed and another is worth it, after `ms`. */
  | { readonly status: 'retry'; readonly ms: number; readonly failure: CallFailure }
  /** Gave up for now. `failure.code` is one of the contract's. */
  | { readonly status: 'gaveUp'; readonly failure: attempts.Failure; readonly nextAttemptAt: number | null };

export interface RotateDependencies extends CallDependencies {
  readonly retry: RetryConfig;
  readonly random: () => number;
  /** Called after a 401: reads the instance's token again, and returns it. */
  readonly refreshToken: (instance: string) => string;
  readonly onGateClosed: (instance: string, gate: Gate) => void;
  /** Told right after events were committed. */
  readonly onCommitted: () => void;
}

/** More steps than any honest course of one job: resolve, read back, reset, each overtaken a few times. */
const maxSteps = 25;

export interface Past {
  /** Calls of this job that failed before. */
  readonly tries: number;
  /** The failure for which it was `doubted`; null: none. */
  readonly doubted: attempts.Failure | null;
}

export async function rotate(
  deps: RotateDependencies,
  asked: Target,
  work: attempts.Work,
  { tries, doubted }: Past,
): Promise<Rotation> {
  const { redis, keys } = deps;
  let target = asked;
  const place = [asked.instance.name, asked.group.id] as const;
  if (doubted !== null && !(await isReprieved(redis, keys, ...place))) return await giveUp(deps, target, work, doubted);
  let mine: 'rotated' | 'recovered' | null = null;

  for (let steps = 0; steps < maxSteps; steps++) {
    const { record, step } = await look(deps, target, work);

    if (step.do === 'finish') {
      if (mine !== null) return { status: mine, record };
      if (step.as === 'duplicate') {
        const owner = await ownerOf(deps, target, record);
        if (owner === null) continue;
        return await rest(deps, target, work, owner);
      }
      if (step.as === 'obsolete') return { status: 'obsolete' };
      const again = work.kind === 'request' && record.answered.includes(work.jobId);
      return { status: again ? 'rotated' : 'satisfied', record };
    }
    if (step.do === 'wait') {
      return { status: 'wait', ms: step.ms, why: step.why, closed: false };
    }

    const result = await makeCall(deps, target, work, step.do);
    switch (result.end) {
      case 'denied':
        return { status: 'wait', ms: result.waitMs, why: result.why, closed: closesQueue(result.why) };
      case 'overtaken':
      case 'fenced':
        continue;
      case 'duplicate':
        return await giveUp(deps, target, work, duplicateFailure(result.owner));
      case 'done': {
        if (result.events.length > 0) deps.onCommitted();
        if (step.do === 'verify') return { status: 'verified', changed: result.events.length > 0 };
        if (doubted !== null) await endReprieve(redis, keys, ...place);
        if (step.do === 'reset') return { status: 'rotated', record: result.record };
        if (step.do === 'readBack' && result.events.length > 0) mine = 'recovered';
        if (step.do === 'readBack' && work.kind === 'verification') {
          return { status: 'verified', changed: result.events.length > 0 };
        }
        continue;
      }
      case 'failed': {
        const door = doorOf(result.failure.code);
        if (door === 'instance') target = await answerTrouble(deps, target, result.failure);
        // The gate or the bucket is closed by now: asking for the next slot says for how long.
        if (door === 'instance' || door === 'token') continue;
        if (work.kind === 'verification') {
          await happen(deps, target, { kind: 'postponed' });
          return { status: 'verified', changed: false };
        }
        if (door === 'group' && doubted === null) return await doubt(deps, target, result.failure);
        if (door === 'group' || tries + 1 >= deps.retry.attempts) {
          if (doubted !== null) await endReprieve(redis, keys, ...place);
          return await giveUp(deps, target, work, result.failure);
        }
        return { status: 'retry', ms: retryDelayMs(tries + 1, deps.retry, deps.random), failure: result.failure };
      }
    }
  }
  return { status: 'wait', ms: 1_000, why: 'busy', closed: false };
}

/** The record as it would be without abandoned attempts, and what is due. */
async function look(deps: RotateDependencies, target: Target, work: attempts.Work) {
  const { record: stored, nowMs } = await deps.store.load(target.group.id);
  const { record } = attempts.transition(stored, { kind: 'lapses' }, nowMs, target.rules);
  return { record, step: attempts.decide(record, work, nowMs) };
}

/** Where nobody's call would go, the queue rests; who has a place in line or a pace of its own waits by itself. */
function closesQueue(why: Denial): boolean {
  return why === 'exhausted' || why === 'gate';
}

/** Closes the instance's gate, unless the token was refused and there is another one by now: then it is tried. */
async function answerTrouble(deps: RotateDependencies, target: Target, failure: CallFailure): Promise<Target> {
  const { name } = target.instance;
  const token = failure.code === 'unauthorized' ? deps.refreshToken(name) : target.token;
  if (token !== target.token) {
    const opened = await openGate(deps.redis, deps.keys, name);
    if (opened !== null) deps.onGateOpened(name, opened);
    return { ...target, token };
  }
  const gate = await closeGate(deps.redis, deps.keys, name, failure.code);
  if (gate.closedNow) deps.onGateClosed(name, gate);
  return target;
}

/** Leaves a moment in which other groups of the instance may fail too; if they do, closes its gate. */
async function doubt(deps: RotateDependencies, { instance, group }: Target, failure: CallFailure): Promise<Rotation> {
  const { name } = instance;
  if (!(await suspect(deps.redis, deps.keys, name, group.id))) return { status: 'doubted', ms: doubtMs, failure };
  const gate = await closeGate(deps.redis, deps.keys, name, 'suspected');
  if (gate.closedNow) deps.onGateClosed(name, gate);
  return { status: 'doubted', ms: gate.opensInMs, failure };
}

async function giveUp(
  deps: RotateDependencies,
  target: Target,
  work: attempts.Work,
  failure: attempts.Failure,
): Promise<Rotation> {
  const { failure: noted } = await happen(deps, target, { kind: 'gaveUp', work, failure });
  deps.onCommitted();
  return { status: 'gaveUp', failure, nextAttemptAt: noted?.nextAttemptAt ?? null };
}

/** Stores what becomes of the record, with its events unless `silently`. */
async function happen(
  { store }: RotateDependencies,
  { place, rules }: Target,
  happening: attempts.Happening,
  silently = false,
): Promise<GroupRecord> {
  return await store.update(place, (stored, nowMs) => {
    const { record, events } = attempts.transition(stored, happening, nowMs, rules);
    return { record, events: silently ? [] : events, result: record };
  });
}

/** The other group that owns this one's JID; null: none does any more, and the mark is taken off. */
async function ownerOf(deps: RotateDependencies, target: Target, record: GroupRecord): Promise<string | null> {
  const owner = record.jid === null ? null : await claimJid(deps.redis, deps.keys, record.jid, target.group.id);
  if (owner === null) {
    await deps.store.update(target.place, (stored) => ({
      record: { ...stored, duplicateOf: null },
      result: undefined,
    }));
  }
  return owner;
}

/** A double was reported once when it was found; after that its schedule rests in silence, only one-offs are told. */
async function rest(deps: RotateDependencies, target: Target, work: attempts.Work, owner: string): Promise<Rotation> {
  const failure = duplicateFailure(owner);
  if (work.kind === 'request') return await giveUp(deps, target, work, failure);
  const { failure: noted } = await happen(deps, target, { kind: 'gaveUp', work, failure }, true);
  return { status: 'gaveUp', failure, nextAttemptAt: noted?.nextAttemptAt ?? null };
}

function duplicateFailure(owner: string): attempts.Failure {
  return {
    code: 'invalid_request',
    message: `this is the same WhatsApp group as "${owner}", which keeps rotating: remove one of the two from the file`,
    httpStatus: null,
  };
}
