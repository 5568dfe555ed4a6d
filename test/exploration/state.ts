/**
 * What the exploration's small world consists of. Time goes in ticks of a minute, longer than every pause between two
 * read-backs, so that all of those are one tick; the other times are a few ticks each, in the proportions of the real
 * ones: the client's timeout is longer than half a lease, and the server may be later than the client waits.
 */
import { type Attempt, type GroupRecord, newRecord } from '../../src/groups/record.ts';
import type { GroupRules, Work } from '../../src/rotation/attempt.ts';

export const tickMs = 60_000;
export const startMs = 1_000_000 * tickMs;

/** All in ticks. */
export interface Times {
  readonly lease: number;
  /** How old an attempt may be when it is sent (`call.ts`: half its lease). */
  readonly sendWithin: number;
  /** How long a client waits for its answer. */
  readonly timeout: number;
  /** How long after its sending a reset may still take effect. */
  readonly effectWithin: number;
  /** The settle time: counted from the recording of an attempt, so it covers the time until its sending too. */
  readonly settle: number;
}

export const times: Times = { lease: 2, sendWithin: 1, timeout: 1, effectWithin: 2, settle: 3 };

/** How often each thing may happen that need not. */
export interface Faults {
  readonly deaths: number;
  readonly freezes: number;
  /** Answers that are lost, late, an error of the server, or show no link. */
  readonly badAnswers: number;
  readonly humanResets: number;
}

/** A reset on the wire, or at the server. */
export interface Wire {
  readonly begunAt: number;
  readonly sentAt: number;
  /** The code it made; null: it has not taken effect. */
  readonly code: string | null;
  /** It was sent by the owner of the record, and no later than is allowed. */
  readonly inTurn: boolean;
  /** How its sender came to know nothing of its end; null: it waits. */
  readonly lost: Lost | null;
  /** A read-back has taken another's code for its own, so that it is not waited for any more. */
  readonly mistaken: boolean;
}

export type Lost = 'died' | 'unanswered';

/** What a process, or a worker's job in it, is about to do next. */
export type Activity =
  | { readonly at: 'idle' }
  /** A reset is recorded; the lease is checked next, and it is sent. */
  | { readonly at: 'begun'; readonly work: Work; readonly attempt: Attempt }
  /** Frozen between the check and the sending: no activity rests here otherwise. */
  | { readonly at: 'checked'; readonly work: Work; readonly attempt: Attempt }
  | {
      readonly at: 'resetting';
      readonly work: Work;
      readonly attempt: Attempt;
      readonly wire: Wire;
    }
  /** `seen`: the live code when the server read it; null: it has not yet. */
  | {
      readonly at: 'reading';
      readonly work: Work;
      readonly attempt: Attempt;
      readonly sentAt: number;
      readonly seen: string | null;
    }
  /** A call failed, which is stored; next it is stored that it is tried again later. */
  | { readonly at: 'failed'; readonly work: Work };

export interface Process {
  readonly name: string;
  /** It makes no step while time goes on. */
  readonly frozen: boolean;
  readonly doing: Activity;
}

/** Where the live code came from. */
export interface Origin {
  readonly by: 'start' | 'human' | 'reset';
  /** As the wire's. */
  readonly inTurn: boolean;
  /** It took effect when the settle time since its recording was over. */
  readonly late: boolean;
  readonly lost: Lost | null;
}

export interface State {
  readonly nowMs: number;
  readonly record: GroupRecord;
  readonly live: string;
  readonly origin: Origin;
  /** What consumers hold: the link of the highest revision. */
  readonly published: { readonly code: string; readonly revision: number } | null;
  /** All alike: each takes up any work. */
  readonly processes: readonly Process[];
  /** Resets that may still take effect, though nobody listens any more. */
  readonly orphans: readonly Wire[];
  /** The one-off; the scheduled rotation is the record's `dueAt`. */
  readonly request: 'open' | 'done';
  readonly left: Faults;
  /** The newest read was shown no link. */
  readonly blind: boolean;
  /** Codes and attempts so far: names new ones. */
  readonly counter: number;
}

export const jid = '120363406289005073@g.us';
export const later = startMs * 2;

export function rulesOf(settle: number): GroupRules {
  return {
    group: 'vip',
    instance: 'bot',
    // So late that nothing more is scheduled while the model looks on.
    nextDue: () => later,
    periodMs: tickMs,
    // Whether a periodic verification comes is not asked of the rules: it may come at any time.
    verifyEveryMs: null,
    settleTimeMs: settle * tickMs,
  };
}

export const oneOff: Work = {
  kind: 'request',
  jobId: 'job',
  requestedAt: null,
  request: { requestId: null, requestedBy: null, reason: null },
};
export const verification: Work = { kind: 'verification' };

export const linkOf = (code: string) => ({ code, url: `https://chat.whatsapp.com/${code}` });

/** A group that is due, whose link is known and published, or that was never rotated and whose link is unknown. */
export function startState(link: 'known' | 'unknown', workers: number, left: Faults): State {
  const live = 'c0';
  const idle = (name: string): Process => ({ name, frozen: false, doing: { at: 'idle' } });
  const known = link === 'known';
  return {
    nowMs: startMs,
    record: {
      ...newRecord,
      jid,
      dueAt: startMs,
      ...(known
        ? { link: linkOf(live), revision: startMs - 1, rotatedAt: startMs - 1, resetBegunAt: startMs - 1 }
        : {}),
    },
    live,
    origin: { by: 'start', inTurn: true, late: false, lost: null },
    published: known ? { code: live, revision: startMs - 1 } : null,
    processes: ['A', 'B', 'C'].slice(0, workers).map(idle),
    orphans: [],
    request: 'open',
    left,
    blind: false,
    counter: 1,
  };
}
