/**
 * The vocabulary of a rotation: why a group is touched (`Work`), what is due (`Step`), what can happen to its record
 * (`Input`), what that makes of it (`Transition`), and how the job ends (`JobResult`). How a call ends is
 * `ryze/outcome.ts`.
 */
import type { Budget, Denial } from '../budget/budget.ts';
import type { Gate } from '../budget/gate.ts';
import type { InstanceConfig, RetryConfig } from '../config/config.ts';
import type { LinkEvent, LinkReason, RequestInfo } from '../contract/event.ts';
import type { Attempt, GroupRecord } from '../groups/record.ts';
import type { Replacement } from '../groups/revisions.ts';
import type { GroupStore } from '../groups/store.ts';
import type { Database } from '../redis/database.ts';
import type { RyzeClient } from '../ryze/client.ts';
import type { CallOutcome, Failure } from '../ryze/outcome.ts';

/** Why a job touches the group. */
export type Work =
  | { readonly kind: 'scheduled'; readonly dueAt: number }
  | {
      readonly kind: 'request';
      /** Queue, job id, the job's own timestamp and its run: job ids are reused. */
      readonly identity: string;
      /** By Redis's clock. null: unknown. */
      readonly requestedAt: number | null;
      /** How many attempts of the record had started by then. null: unknown, or of another record. */
      readonly attemptsSeen: number | null;
      /**
       * Where BullMQ has counted the job. null: the producer chose the job's id. `newest`: the number of the queue's
       * newest job. `count`: names the count, which starts again if somebody obliterates the queue. `pushedAt`: by the
       * producer's clock.
       */
      readonly position: {
        readonly queue: string;
        readonly number: number;
        readonly newest: number;
        readonly count: string;
        readonly pushedAt: number;
      } | null;
      readonly request: RequestInfo;
      /**
       * The link that names the group. It needs no reset once it has been replaced. `isReplaced`: it is not the current one,
       * as far as was known when the job was read.
       */
      readonly link: { readonly code: string; readonly isReplaced: boolean } | null;
    }
  /**
   * A read: the first one of a group, one that settles a reset, or one that checks whether a person has changed the
   * link. `isPeriodic`: the last of these, which keeps to its share of the limit.
   */
  | { readonly kind: 'verification'; readonly isPeriodic?: boolean };

/** What a one-off asks for. */
export type OneOff = Work & { readonly kind: 'request' };

/** What is due for some work, as `decide.ts` says. */
export type Step =
  | { readonly do: Call }
  | { readonly do: 'wait'; readonly ms: number; readonly why: 'busy' | 'settling' | 'burst' }
  | {
      readonly do: 'finish';
      readonly as: 'answered' | 'failed' | 'replaced' | 'obsolete' | 'duplicate' | 'unregistered';
    };

export type Call = Exclude<Attempt['call'], 'resolve'>;

/** What can happen to a group's record. */
export type Input =
  | { readonly kind: 'started'; readonly attempt: Attempt }
  /** The attempt's process is alive and working on it. */
  | { readonly kind: 'renewed'; readonly id: string; readonly leaseUntil: number }
  /** `outcome`: null if no call was made. */
  | { readonly kind: 'ended'; readonly attempt: Attempt; readonly outcome: CallOutcome | null }
  /** The attempt's lease may have run out: its process has died, or cannot reach Redis. */
  | { readonly kind: 'expired' }
  /** A read failed. `isRefused`: as if by the group's own fault, so that another read would fail too. */
  | { readonly kind: 'postponed'; readonly isRefused?: boolean }
  | { readonly kind: 'gaveUp'; readonly work: Work; readonly failure: Failure }
  /** A one-off was refused for a reason that does not concern the group's own state. `reason`: the job's. */
  | { readonly kind: 'refused'; readonly work: Work; readonly failure: Failure; readonly reason: string };

/** What an input makes of a record. */
export interface Transition {
  /** The same object if nothing changed. */
  readonly record: GroupRecord;
  readonly events: readonly LinkEvent[];
  /** The attempt that ended no longer owned the record, so its outcome was dropped. */
  readonly fenced: boolean;
  /** The answer to a reset repeated a code that the group had before, so its effect is unknown. */
  readonly repeated?: boolean;
}

/** How a job, or this run of it, ends. `worker/complete.ts` turns it into one write to BullMQ. */
export type JobResult =
  /**
   * Completed: the group has a link that answers the job. `replaced`: how the link that the job names was replaced, if it
   * had been before the job ran.
   */
  | {
      readonly status: 'rotated' | 'recovered' | 'satisfied';
      readonly record: GroupRecord;
      readonly replaced?: Replacement | null;
    }
  /** Completed: the link was read. `published`: null if it had not changed, or was not shown. */
  | {
      readonly status: 'verified';
      readonly group: string;
      readonly published: LinkReason | null;
      /** Reads in a row without success. */
      readonly unverified: number;
      /** Why the very first read of the group failed. It is repeated. */
      readonly failure?: Failure | undefined;
    }
  /** Completed: the group was rescheduled, removed or disabled since the job was queued. */
  | { readonly status: 'obsolete' }
  /**
   * Delayed; costs no try. `deniedBy`: the instance whose budget or gate gave no slot, if that is why. `children`: until
   * other jobs of its flow have ended, whenever that is.
   */
  | {
      readonly status: 'wait';
      readonly ms: number;
      readonly why: 'busy' | 'settling' | 'lost' | 'elsewhere' | 'children' | 'redis' | 'error' | Denial;
      readonly deniedBy?: string;
      /** What to remember of the job. Absent: the same as before. */
      readonly progress?: JobProgress;
    }
  /** Delayed: a call failed, and another may work. */
  | { readonly status: 'retry'; readonly ms: number; readonly failure: Failure; readonly progress: JobProgress }
  /** Delayed: a call failed, apparently by the group's own fault. The job checks again before it fails. */
  | { readonly status: 'doubted'; readonly ms: number; readonly failure: Failure; readonly progress: JobProgress }
  /** Failed for now. The group's record holds the next try. */
  | { readonly status: 'gaveUp'; readonly failure: Failure }
  /**
   * Failed: the job cannot be served. `oneOff`: it names a group, so it gets a failure event. `name`: as its producer
   * named the group. `recordId`: null if no file has registered such a group. `failure`: of the event, if it was a call's.
   */
  | {
      readonly status: 'refused';
      readonly message: string;
      readonly failure?: Failure;
      readonly oneOff?: { readonly name: string; readonly work: OneOff; readonly recordId: string | null };
    };

/** What is remembered of a job between its runs. */
export interface JobProgress {
  /** Calls that failed. */
  readonly tries: number;
  /** The failure for which it was `doubted`. `isConvicted`: the group was shown before to fail so by its own fault. */
  readonly doubted: (Failure & { readonly isConvicted: boolean }) | null;
}

/** What rotating a group takes. */
export interface RotationDependencies extends Database {
  readonly store: GroupStore;
  readonly budget: Budget;
  readonly ryze: RyzeClient;
  readonly retry: RetryConfig;
  /** The configuration's `api.settleTime`. */
  readonly settleTimeMs: number;
  readonly random: () => number;
  /** How far BullMQ has counted the jobs of a queue. */
  readonly lastJobOn: (queue: string) => Promise<{ queue: string; lastJob: number; count: string }>;
  /** Identities of the one-offs on a queue that name the group by its id or JID and that BullMQ does not count. */
  readonly uncountedOn: (
    queue: string,
    named: { readonly group: string; readonly recordId: string },
  ) => Promise<readonly string[]>;
  /** The instance as this process knows it, with its token. null: this process does not serve it. */
  readonly callerOf: (instance: string) => { readonly instance: InstanceConfig; readonly token: string } | null;
  /** Reads the instance's token again and returns it. */
  readonly refreshToken: (instance: string) => string;
  readonly onGateClosed: (instance: string, gate: Gate) => void;
  /** A probe has failed: the pause continues. */
  readonly onGateExtended: (instance: string, gate: Gate) => void;
  readonly onGateOpened: (instance: string, reason: string) => void;
  /** Called after every call with what its answer showed of the token's limit. */
  readonly onLimitSeen: (instance: InstanceConfig, seen: { limit: number | null; foreign: number }) => void;
  /**
   * Called when a reset whose answer was lost has been read back, whatever becomes of the job that did it. `request`: the
   * one-off that the reset answers.
   */
  readonly onRecovered: (record: GroupRecord, work: Work, request: RequestInfo | null) => void;
  /** Called right after events were committed, with their results queues. */
  readonly onCommitted: (queues: readonly string[]) => void;
}
