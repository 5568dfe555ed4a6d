/**
 * Carries one job's work for one group as far as it can go now: reads the record, makes the calls that are due one after
 * the other, and returns how the job ends (`JobResult`). Events are committed here and published by the caller.
 *
 * Any process may start a group's work at any time, twice or concurrently: the record decides what happens.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type FailedCall, judgeFailure, openGate, outageMs, readBlame } from '../budget/gate.ts';
import type { RetryConfig } from '../config/config.ts';
import { doubled } from '../doubled.ts';
import { readHistory } from '../groups/history.ts';
import type { GroupRecord } from '../groups/record.ts';
import { replacementOf } from '../groups/revisions.ts';
import { type CallFailure, type Failure, isFailure } from '../ryze/outcome.ts';
import { policies } from '../ryze/policy.ts';
import { inSpan } from '../tracing/spans.ts';
import { type CallResult, makeCall, type Target } from './call.ts';
import { decide, failedReason } from './decide.ts';
import { transition } from './transition.ts';
import type { Call, Input, JobProgress, JobResult, OneOff, RotationDependencies, Step, Work } from './types.ts';

/** More steps than one job can need: resolve, read back, reset, each overtaken a few times. */
const maxSteps = 25;
/** For how long a failure is doubted. */
const doubtMs = 2_000;
/** A verification whose share is used up for no longer than this waits: the planner would take longer. */
const soonMs = 5_000;
/** How long to wait for another process to act first. */
export const elsewhereMs = 5_000;

const elsewhere: JobResult = { status: 'wait', ms: elsewhereMs, why: 'elsewhere' };
/** The group's id names another WhatsApp group by now: the job finds that one when it runs again. */
const movedOn: JobResult = { status: 'wait', ms: 0, why: 'elsewhere' };

/** One run of a job, with what it has learnt so far. */
interface Run {
  readonly deps: RotationDependencies;
  readonly past: JobProgress;
  recordId: string;
  work: Work;
  /** A call of this run worked, so the failure that an earlier run doubted is over. */
  hasWorked: boolean;
  /** The first read worked, so failures before it do not count. */
  hasAdopted: boolean;
  /** A reset of an earlier attempt was read back and published. */
  hasRecovered: boolean;
  /** The failure that an earlier run doubted is not the group's. */
  isAcquitted: boolean;
  /** A refusal with an undocumented text: it counts once the link has been read back unchanged. */
  refusal: Blamed | null;
}

/** A failure of the group. `isKnown`: it failed so before, or the failure cannot be the instance's. */
interface Blamed {
  readonly failure: NonNullable<JobProgress['doubted']>;
  readonly isKnown: boolean;
}

/** `recordId`: of the group's record, as it was found. */
export async function rotate(
  deps: RotationDependencies,
  recordId: string,
  work: Work,
  past: JobProgress,
): Promise<JobResult> {
  const learnt = { hasWorked: false, hasAdopted: false, hasRecovered: false, isAcquitted: false, refusal: null };
  const run: Run = { deps, past, recordId, work, ...learnt };
  for (let steps = 0; steps < maxSteps; steps++) {
    const result = await takeStep(run);
    if (result !== null) return result;
  }
  return { status: 'wait', ms: 1_000, why: 'busy' };
}

/** Does what is due next. null: look again. */
async function takeStep(run: Run): Promise<JobResult | null> {
  const { deps, recordId, work } = run;
  const { record, step, isExpired } = await look(run);
  const { entry } = record;
  // No call follows, so nothing else would note that the attempt is over.
  if (isExpired && step.do === 'finish') await apply(run, { kind: 'expired' });
  // Redis has lost the record, or the group has another one by now. The planner releases its own work again.
  if (entry === null && work.kind !== 'request') return { status: 'obsolete' };
  if (entry === null) return { status: 'wait', ms: elsewhereMs, why: 'lost' };
  if (work.kind === 'request' && record.replaced && step.do !== 'wait') return movedOn;
  if (step.do === 'finish') return await finish(run, record, step);
  if (step.do === 'wait') return await wait(run, step);
  if (step.do === 'reset' && run.refusal !== null) return await conclude(run, run.refusal);

  const caller = deps.callerOf(entry.instance);
  if (caller === null) return elsewhere;
  const target: Target = { recordId, entry, ...caller };
  const { doubted } = run.past;
  // A call that may have had an effect is read back first.
  if (doubted !== null && !run.isAcquitted && step.do !== 'readBack') {
    run.isAcquitted = await isAcquitted(run, target.instance.name, doubted);
    if (!run.isAcquitted) return await giveUp(run, doubted);
  }

  const call = await makeCall(deps, target, work, step.do);
  switch (call.kind) {
    case 'denied':
      // The planner releases this verification again, when its share and other work allow it.
      if (call.why === 'givesWay' || (call.why === 'share' && call.waitMs > soonMs)) return { status: 'obsolete' };
      return {
        status: 'wait',
        ms: call.waitMs,
        why: call.why,
        deniedBy: target.instance.name,
        progress: progressOf(run),
      };
    case 'overtaken':
      return null;
    case 'duplicate':
      return await giveUp(run, duplicateFailure(call.owner));
    case 'stored':
      if (isFailure(call.outcome)) return await afterFailure(run, target, step.do, call.outcome, call.evidence);
      return afterSuccess(run, entry.group, step.do, call);
  }
}

/** The record without abandoned attempts, and what is due. */
async function look({ deps: { store, settleTimeMs }, recordId, work }: Run) {
  const { record: stored, nowMs } = await store.load(recordId);
  const { record } = transition(stored, { kind: 'expired' }, nowMs, settleTimeMs);
  return { record, step: decide(record, work, nowMs), isExpired: record !== stored };
}

/** Nothing is left to do. */
async function finish(run: Run, record: GroupRecord, { as }: Step & { do: 'finish' }): Promise<JobResult | null> {
  const { work } = run;
  if (run.hasRecovered) return { status: 'recovered', record };
  if (as === 'duplicate') return await giveUp(run, duplicateFailure(record.duplicateOf ?? ''));
  if (work.kind === 'request' && (as === 'failed' || as === 'unregistered')) {
    const name = record.entry?.group ?? run.recordId;
    const message = failedReason(record, work) ?? unknownGroup(name);
    return { status: 'refused', message, oneOff: { name, work, recordId: run.recordId } };
  }
  if (work.kind !== 'request' || (as !== 'answered' && as !== 'replaced')) return { status: 'obsolete' };
  if (!record.answered.includes(work.identity)) {
    return { status: 'satisfied', record, replaced: await replacementFor(run, record, work) };
  }
  return { status: record.reason === 'recovery' ? 'recovered' : 'rotated', record };
}

/** How the link that a one-off names was replaced. Null: it names none, or its current one. */
async function replacementFor({ deps, recordId }: Run, record: GroupRecord, { link }: OneOff) {
  return link === null ? null : replacementOf(record, await readHistory(deps, recordId), link.code);
}

async function wait(run: Run, { ms, why }: Step & { do: 'wait' }): Promise<JobResult | null> {
  // Shorter than putting the job back would take.
  if (why === 'burst') {
    await sleep(ms + 1);
    return null;
  }
  // The process that works on the group does what a verification would do.
  if (why === 'busy' && run.work.kind === 'verification') return { status: 'obsolete' };
  return { status: 'wait', ms, why, progress: progressOf(run) };
}

function afterSuccess(
  run: Run,
  group: string,
  sent: Call,
  { recordId, record, events }: CallResult & { kind: 'stored' },
): JobResult | null {
  const { deps, work, past } = run;
  // Another record counts its own attempts.
  if (recordId !== run.recordId && work.kind === 'request') run.work = { ...work, attemptsSeen: null };
  run.recordId = recordId;
  // A read-back after a refusal says nothing about the reset that was refused.
  run.hasWorked ||= run.refusal === null && (past.doubted === null || sent !== 'readBack');
  // A read-back says only that a reset had no effect: the resets that failed still count.
  run.hasAdopted ||= sent === 'adopt';
  const published = events[0]?.reason ?? null;
  if (published !== null) deps.onCommitted(record.entry?.queues ?? []);
  if (published === 'recovery') deps.onRecovered(record, work, events[0]?.request ?? null);
  if (sent === 'reset') {
    return record.replaced && work.kind === 'request' ? movedOn : { status: 'rotated', record };
  }
  if (work.kind === 'verification') return { status: 'verified', group, published, unverified: record.unverified };
  if (published === 'recovery') run.hasRecovered = true;
  // The answer settled nothing: it came from a cache, say.
  if (sent === 'adopt' && record.adopt) return { status: 'wait', ms: elsewhereMs, why: 'settling' };
  return null;
}

async function afterFailure(
  run: Run,
  { entry, instance, token }: Target,
  sent: Call,
  failure: CallFailure,
  evidence: FailedCall | null,
): Promise<JobResult | null> {
  const { deps, work } = run;
  const { scope, retried, blamesToken } = policies[failure.code];
  // Its bucket is closed by now: asking for the next slot says for how long.
  if (scope === 'token') return null;
  if (blamesToken && (await hasNewToken(deps, instance.name, token))) return null;
  const judged = evidence === null ? null : await judge(deps, instance.name, evidence);
  // The gate is closed by now: asking for the next slot says for how long.
  if (judged?.verdict === 'paused') return null;
  if (work.kind === 'verification' && (sent !== 'adopt' || retried)) {
    const { unverified } = await apply(run, { kind: 'postponed', isRefused: !retried });
    const first = sent === 'adopt' && unverified === 1 ? failure : undefined;
    return { status: 'verified', group: entry.group, published: null, unverified, failure: first };
  }
  if (retried) return await retryOrGiveUp(run, failure, judged?.inRow ?? 0);
  if (sent === 'readBack') await apply(run, { kind: 'postponed', isRefused: true });
  const { code, message, httpStatus } = failure;
  const isConvicted = judged?.verdict !== 'unproven';
  run.refusal = { failure: { code, message, httpStatus, isConvicted }, isKnown: judged === null };
  // Read back first if the call may have had an effect anyway.
  if (sent === 'reset' && failure.kind === 'unknown') return null;
  return await conclude(run, run.refusal);
}

async function retryOrGiveUp(run: Run, failure: CallFailure, inRow: number): Promise<JobResult | null> {
  const { retry, random } = run.deps;
  const progress = progressOf(run);
  const tries = progress.tries + 1;
  // While other groups fail too, the job waits once more before it fails: if they continue to fail, the instance is paused.
  if (failure.final !== true && (tries < retry.attempts || (tries === retry.attempts && inRow > 1))) {
    const ms = tries < retry.attempts ? retryDelayMs(tries, retry, random) : outageMs;
    return { status: 'retry', ms, failure, progress: { ...progress, tries } };
  }
  if (tries < 2) return await giveUp(run, failure);
  return await giveUp(run, { ...failure, message: `${failure.message} (after ${tries} calls)` });
}

/** Full jitter: anything up to a bound that doubles with every failure. */
export function retryDelayMs(tries: number, retry: RetryConfig, random: () => number): number {
  return Math.round(random() * doubled(retry.baseDelayMs, tries - 1, retry.maxDelayMs));
}

/** Whether the instance has another token by now. If so, its gate is open again. */
export async function hasNewToken(deps: RotationDependencies, instance: string, token: string): Promise<boolean> {
  if (deps.refreshToken(instance) === token) return false;
  const opened = await openGate(deps, instance);
  if (opened !== null) deps.onGateOpened(instance, opened);
  return true;
}

/** Judges whose failure it is, and reports what that does to the instance's gate. */
export async function judge(deps: RotationDependencies, instance: string, evidence: FailedCall) {
  const judgement = await judgeFailure(deps, instance, evidence);
  if (judgement.change === 'closed') deps.onGateClosed(instance, judgement.gate);
  if (judgement.change === 'extended') deps.onGateExtended(instance, judgement.gate);
  return judgement;
}

/** It is the group's own failure: at once if that is known, else after a moment in which others may fail too. */
async function conclude(run: Run, { failure, isKnown }: Blamed): Promise<JobResult | null> {
  if (run.past.doubted !== null || isKnown) return await giveUp(run, failure);
  return { status: 'doubted', ms: doubtMs, failure, progress: { ...run.past, doubted: failure } };
}

/**
 * Whether a doubted failure is not the group's after all, because other groups failed in the same way meanwhile. A
 * convicted group is cleared only by other groups' failures. Any other group gets a second call once it is blamed.
 */
async function isAcquitted(
  { deps, recordId }: Run,
  instance: string,
  { code, isConvicted }: Blamed['failure'],
): Promise<boolean> {
  const { isBlamed, isTroubleOfOthers } = await readBlame(deps, instance, recordId, code);
  return isTroubleOfOthers || (isBlamed && !isConvicted);
}

/** What the next run needs to know. */
function progressOf(run: Run): JobProgress {
  const { past, refusal, hasWorked, isAcquitted } = run;
  const doubted = hasWorked || isAcquitted ? null : past.doubted;
  return { tries: triesOf(run), doubted: refusal?.failure ?? doubted };
}

/** Failures that count. */
function triesOf({ past, hasAdopted }: Run): number {
  return hasAdopted ? 0 : past.tries;
}

/** null: the one-off must not fail, so look again. */
async function giveUp(run: Run, failure: Failure): Promise<JobResult | null> {
  const { deps, work } = run;
  const attributes = { outcome: 'gaveUp', event: 'rotation.failed' };
  const record = await inSpan('commit', { attributes }, () => apply(run, { kind: 'gaveUp', work, failure }));
  if (work.kind === 'request' && failedReason(record, work) === null) return null;
  deps.onCommitted(record.entry?.queues ?? []);
  return { status: 'gaveUp', failure };
}

/** Stores what an input makes of the record, with its events. */
async function apply({ deps: { store, settleTimeMs }, recordId }: Run, input: Input): Promise<GroupRecord> {
  return await store.update(recordId, (stored, nowMs) => {
    const { record, events } = transition(stored, input, nowMs, settleTimeMs);
    return { record, events, result: record };
  });
}

function duplicateFailure(owner: string): Failure {
  const message = `this is the same WhatsApp group as "${owner}", which keeps rotating: remove one of the two from the file`;
  return { code: 'invalid_request', message, httpStatus: null };
}

/** `name`: as the producer named the group. */
export function unknownGroup(name: string): string {
  return `unknown group ${JSON.stringify(name.slice(0, 64))}: it is not in the configuration file`;
}
