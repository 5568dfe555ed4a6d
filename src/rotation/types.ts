/** The terms in which the rotation of one group is told: why, by which calls, how they ended, what happened, what is next. */

import type { LinkEvent, RequestInfo } from '../contract/event.ts';
import type { Attempt, GroupRecord } from '../groups/record.ts';
import type { CallFailure } from '../ryze/outcome.ts';
import type { NewLink } from './revision.ts';

/** Why somebody wants to touch the group. */
export type Work =
  | { readonly kind: 'scheduled'; readonly dueAt: number }
  | {
      readonly kind: 'request';
      /** Queue, job id, the job's own timestamp, and which run of it: job ids are used again. */
      readonly identity: string;
      /** By Redis's clock; null: unknown. */
      readonly requestedAt: number | null;
      /** How many attempts of the record had begun by then; null: unknown, or of another record. */
      readonly attemptsSeen: number | null;
      /** Its place among the jobs of its queue; null: it has an id of its producer's own. */
      readonly position: JobPosition | null;
      readonly request: RequestInfo;
    }
  /** A read: at first sight, of what is unsettled, or to see whether a person has changed the link. */
  | { readonly kind: 'verification' };

/** Where BullMQ has counted a job. */
export interface JobPosition {
  readonly queue: string;
  readonly number: number;
  /** The number of the queue's newest job: lower than one seen before where somebody has obliterated the queue. */
  readonly newest: number;
  /** By its producer's clock. */
  readonly pushedAt: number;
}

export type Call = Exclude<Attempt['call'], 'resolve'>;

/** What a failure tells the world. */
export type Failure = Pick<CallFailure, 'code' | 'message' | 'httpStatus'>;

/** How an attempt ended. */
export type Result =
  | { readonly kind: 'reset'; readonly link: NewLink }
  /** null: no link was shown, so nothing is known. */
  | { readonly kind: 'read'; readonly link: NewLink | null }
  | { readonly kind: 'rejected' }
  /** `over`: the API has said that the call is over, so that it can take effect no more. */
  | { readonly kind: 'unknown'; readonly over: boolean };

/** All that can happen to a group. */
export type Input =
  | { readonly kind: 'started'; readonly attempt: Attempt }
  /** The attempt's process lives and works on it. */
  | { readonly kind: 'renewed'; readonly id: string; readonly leaseUntil: number }
  | { readonly kind: 'ended'; readonly attempt: Attempt; readonly result: Result }
  /** The lease of the attempt may have run out: its process has died, or cannot reach Redis. */
  | { readonly kind: 'expired' }
  /** A read could not be done now. */
  | { readonly kind: 'postponed' }
  | { readonly kind: 'gaveUp'; readonly work: Work; readonly failure: Failure }
  /** A one-off was refused that does not concern the group's own state. */
  | { readonly kind: 'refused'; readonly work: Work; readonly failure: Failure };

export interface Outcome {
  /** The same object where nothing changed. */
  readonly record: GroupRecord;
  readonly events: readonly LinkEvent[];
  /** The attempt that ended did not own the record any more: its result was dropped. */
  readonly fenced: boolean;
  /** The answer to a reset repeated a code that the group had before: nobody knows whether it had an effect. */
  readonly repeated?: boolean;
}

export type Step =
  | { readonly do: Call }
  | { readonly do: 'wait'; readonly ms: number; readonly why: 'busy' | 'settling' | 'burst' }
  | { readonly do: 'finish'; readonly as: 'answered' | 'obsolete' | 'duplicate' | 'unregistered' };
