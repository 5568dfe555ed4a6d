/**
 * Finds the group of an invite code that no record has: RyzeAPI is asked once, with a GET info. A person may have reset
 * the link in WhatsApp, so a registered group's record learns the link that the answer shows, as by a verification.
 *
 * One job asks at a time, and its answer holds for the others. A failure that may be the instance's pauses it, as every
 * other call does; what the API says about the link itself is never taken as the instance's failure.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { FailedCall } from '../budget/gate.ts';
import { errorCodes } from '../contract/errorCodes.ts';
import type { LinkReason } from '../contract/event.ts';
import type { GroupRecord } from '../groups/record.ts';
import { redisTime } from '../redis/database.ts';
import { type CallFailure, type CallOutcome, type Failure, isFailure } from '../ryze/outcome.ts';
import { policies } from '../ryze/policy.ts';
import { isReplaced } from './revision.ts';
import { elsewhereMs, hasNewToken, judge, retryDelayMs } from './rotate.ts';
import { transition } from './transition.ts';
import type { JobProgress, JobResult, RotationDependencies, Transition } from './types.ts';

export type LookUp =
  /** `published`: what the answer made of the record of that group. Null: nothing, or there is no such record. */
  | { readonly status: 'found'; readonly jid: string; readonly published: LinkReason | null }
  /** The API knows no such link, or refuses to say. */
  | { readonly status: 'notFound'; readonly failure: Failure }
  | (JobResult & { readonly status: 'wait' | 'retry' });

/** What the answer to a look-up is needed for. */
interface Question {
  readonly instance: string;
  readonly code: string;
  /** Of the job that asks. */
  readonly identity: string;
  readonly past: JobProgress;
}

/** A worker that asks and dies is replaced after this time. With a longer time-out of calls, two may ask. */
const askingMs = 45_000;
/** How long to wait for the answer to another job's question. */
const askedPollMs = 250;
/** For how long an answer without a group holds. */
const notFoundMs = 60_000;
/** For how long it is remembered which group a link is of, if the group's record does not learn the link. */
const foundMs = 10 * 60_000;
/** Times that a call may have to ask for another slot. */
const maxSteps = 5;

const knownFailure = z.object({ code: z.enum(errorCodes), message: z.string(), httpStatus: z.int().nullable() });

export async function lookUpLink(deps: RotationDependencies, question: Question): Promise<LookUp> {
  const { redis, keys } = deps;
  const { instance, code, identity } = question;
  const key = keys.lookUp(instance, code);
  if ((await redis.set(key, identity, 'PX', askingMs, 'NX')) === null) {
    const known = await redis.get(key);
    const failure = failureIn(known);
    if (failure !== null) return { status: 'notFound', failure };
    // Ours: the reply to an earlier try of the command was lost.
    if (known !== identity) return { status: 'wait', ms: askedPollMs, why: 'busy' };
  }
  try {
    const result = await ask(deps, question);
    const isFinal = result.status === 'notFound' && !policies[result.failure.code].retried;
    if (isFinal) await redis.set(key, JSON.stringify(result.failure), 'PX', notFoundMs);
    else await redis.del(key);
    return result;
  } catch (error) {
    await redis.del(key);
    throw error;
  }
}

function failureIn(json: string | null): Failure | null {
  try {
    return knownFailure.parse(JSON.parse(json ?? ''));
  } catch {
    return null;
  }
}

async function ask(deps: RotationDependencies, question: Question): Promise<LookUp> {
  for (let steps = 0; steps < maxSteps; steps++) {
    const result = await takeStep(deps, question);
    if (result !== null) return result;
  }
  return { status: 'wait', ms: 1_000, why: 'busy', progress: question.past };
}

/** Takes a slot and makes the call. Null: ask for another slot. */
async function takeStep(deps: RotationDependencies, question: Question): Promise<LookUp | null> {
  const { instance: name, code, identity, past } = question;
  const { budget } = deps;
  const caller = deps.callerOf(name);
  if (caller === null) return { status: 'wait', ms: elsewhereMs, why: 'elsewhere', progress: past };
  const { instance, token } = caller;
  const askedAt = performance.now();
  // The gate knows the job, since it knows no group.
  const group = `look-up/${identity}`;
  const grant = await budget.acquire(instance, token, 'oneOff', `request/${identity}`, { group, call: 'read' });
  if (!grant.granted) return { status: 'wait', ms: grant.waitMs, why: grant.why, deniedBy: name, progress: past };
  if (grant.startsInMs > 0) await sleep(grant.startsInMs + 1);
  const startedAt = await redisTime(deps);
  if (performance.now() - askedAt > grant.sendWithinMs) {
    await budget.settle(instance, grant, null);
    return null;
  }
  const sentAt = performance.now();
  const outcome = await deps.ryze.groupInfo({ instance: name, token, identifier: code });
  const tookMs = performance.now() - sentAt;
  const isNews = isFailure(outcome) && isOfInstance(outcome);
  const settled = await budget.settle(instance, grant, { outcome, tookMs, startedAt, isNews });
  if (settled.opened !== null) deps.onGateOpened(name, settled.opened);
  deps.onLimitSeen(instance, { limit: outcome.rateLimit?.limit ?? null, foreign: settled.foreign });
  if (!isFailure(outcome)) return await learn(deps, code, outcome, startedAt);
  return await afterFailure(deps, question, token, outcome, settled.evidence);
}

async function afterFailure(
  deps: RotationDependencies,
  { instance, past }: Question,
  token: string,
  failure: CallFailure,
  evidence: FailedCall | null,
): Promise<LookUp | null> {
  const { scope, retried, blamesToken } = policies[failure.code];
  // Its bucket is closed by now: asking for the next slot says for how long.
  if (scope === 'token') return null;
  if (evidence !== null) {
    if (blamesToken && (await hasNewToken(deps, instance, token))) return null;
    // The gate is closed by now: asking for the next slot says for how long.
    if ((await judge(deps, instance, evidence)).verdict === 'paused') return null;
  }
  return retried || isOfInstance(failure) ? retryOrGiveUp(deps, failure, past) : { status: 'notFound', failure };
}

/** Whether it is a documented refusal that concerns the instance. In other words, it may concern the link alone. */
function isOfInstance({ kind, code }: CallFailure): boolean {
  return kind === 'rejected' && policies[code].scope === 'instance';
}

function retryOrGiveUp({ retry, random }: RotationDependencies, failure: CallFailure, past: JobProgress): LookUp {
  const tries = past.tries + 1;
  if (failure.final !== true && tries < retry.attempts) {
    return { status: 'retry', ms: retryDelayMs(tries, retry, random), failure, progress: { ...past, tries } };
  }
  return { status: 'notFound', failure: { ...failure, message: `${failure.message} (after ${tries} calls)` } };
}

/** Stores what the answer shows. `askedAt`: when the read began, by Redis's clock. */
async function learn(
  deps: RotationDependencies,
  code: string,
  outcome: CallOutcome & { readonly jid: string; readonly inviteCode: string | null },
  askedAt: number,
): Promise<LookUp> {
  const { redis, keys, store, settleTimeMs } = deps;
  const { jid } = outcome;
  // A code that leads to the group is its live one, whether or not this phone is shown the link.
  const read = { kind: 'read', jid, inviteCode: outcome.inviteCode ?? code } as const;
  const { record, events } = await store.update<Transition>(jid, (stored, nowMs) => {
    const unchanged = { record: stored, events: [], fenced: false };
    if (!isNewerThan(askedAt, stored) || isReplaced(stored, read.inviteCode))
      return { record: null, result: unchanged };
    if (!stored.adopt && stored.link?.code === read.inviteCode) return { record: null, result: unchanged };
    const call = stored.adopt ? 'adopt' : 'verify';
    const attempt = {
      id: randomUUID(),
      call,
      begunAt: askedAt,
      leaseUntil: nowMs,
      request: null,
      covers: null,
    } as const;
    const started = transition(stored, { kind: 'started', attempt }, nowMs, settleTimeMs);
    const ended = transition(started.record, { kind: 'ended', attempt, outcome: read }, nowMs, settleTimeMs);
    return { record: ended.record, events: ended.events, result: ended };
  });
  await redis.set(keys.link(code), jid, 'PX', foundMs, 'NX');
  if (events.length > 0) deps.onCommitted(record.entry?.queues ?? []);
  return { status: 'found', jid, published: events[0]?.reason ?? null };
}

/** Whether a read that began then shows what is true now: no reset is in flight or unseen, and none has ended since. */
function isNewerThan(askedAt: number, record: GroupRecord): boolean {
  const { entry, attempt, uncertain, unseenResetAt, rotatedAt, removedAt } = record;
  if (entry === null || removedAt !== null) return false;
  if (attempt !== null || uncertain !== null || unseenResetAt !== null) return false;
  return rotatedAt === null || rotatedAt < askedAt;
}
