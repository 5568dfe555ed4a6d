/**
 * The state of the model: one WhatsApp group, its entry in the file, workers, jobs, a server and consumers. Time passes
 * in ticks of five minutes, longer than every pause between two reads and as long as the first pause after a failure.
 * The other times are a few ticks each, in the proportions of the real ones: the client's timeout is longer than half a
 * lease, and the server may take longer than the client waits.
 */

import { type DesiredGroup, type Inherited, withEntry } from '../../src/groups/entries.ts';
import { type Attempt, type Entry, type GroupRecord, newRecord, type Published } from '../../src/groups/record.ts';
import type { Call, Work } from '../../src/rotation/types.ts';

export const tickMs = 300_000;
const dayMs = 24 * 3_600_000;
/** A Monday, 0:00 UTC. */
export const startMs = 10_000 * dayMs;

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

/** How often each fault may happen. */
export interface Faults {
  readonly deaths: number;
  readonly freezes: number;
  /** Answers that are lost, late, an error of the server, or show no link. */
  readonly badAnswers: number;
  readonly humanResets: number;
  /** Edits of the file (`edits.ts`). */
  readonly edits: number;
  /** Jobs that vanish from the queue: drained, obliterated, or not in the backup. */
  readonly losses: number;
}

export const noFaults: Faults = { deaths: 0, freezes: 0, badAnswers: 0, humanResets: 0, edits: 0, losses: 0 };

/** A reset on the wire, or at the server. */
export interface Wire {
  readonly begunAt: number;
  readonly sentAt: number;
  /** The code that it made; null: it has not taken effect. */
  readonly code: string | null;
  /** It was sent by the owner of the record, in time. */
  readonly inTurn: boolean;
  /** How its sender lost the answer; null: it is waiting for it. */
  readonly lost: Lost | null;
  /** A read-back took another reset's code for this one's, so it is no longer awaited. */
  readonly mistaken: boolean;
}

export type Lost = 'died' | 'unanswered';

/** What a process, or a worker's job in it, is about to do next. */
export type Activity =
  | { readonly at: 'idle' }
  /** A reset is recorded; the lease is checked next, and it is sent. */
  | { readonly at: 'begun'; readonly work: Work; readonly attempt: Attempt }
  /** Only while frozen between the check and the sending. */
  | { readonly at: 'checked'; readonly work: Work; readonly attempt: Attempt }
  | {
      readonly at: 'resetting';
      readonly work: Work;
      readonly attempt: Attempt;
      readonly wire: Wire;
    }
  /** `seen`: the live code when the server read it; null: not yet. */
  | {
      readonly at: 'reading';
      readonly work: Work;
      readonly attempt: Attempt;
      readonly sentAt: number;
      readonly seen: string | null;
    }
  /** A failed call is stored; what follows from it is stored next. */
  | { readonly at: 'failed'; readonly work: Work; readonly call: Call };

export const idle: Activity = { at: 'idle' };

export interface Process {
  readonly name: string;
  /** It does nothing while time passes. */
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
  /** The group has come back to the file since, so its link has to be read. */
  readonly cameBack: boolean;
}

/** What consumers know of an id of the file. */
export interface Consumer {
  /** The link of the highest revision. */
  readonly held: { readonly code: string; readonly revision: number } | null;
  /** The revision that the next event has to name as the one before. */
  readonly before: number | null;
}

/** The two ids that the file may give to the group. */
export const groupIds = ['vip', 'club'] as const;
export type GroupId = (typeof groupIds)[number];

export interface State {
  readonly nowMs: number;
  /** The WhatsApp group's, with its entry. */
  readonly record: GroupRecord;
  /** Of the WhatsApp group to which the id `vip` was given in between; null: it never was. */
  readonly other: GroupRecord | null;
  readonly live: string;
  readonly origin: Origin;
  readonly consumers: Readonly<Record<GroupId, Consumer>>;
  /** The last revision of the WhatsApp group that was published, under whatever id. */
  readonly spoken: number | null;
  /** What an id had published when it left the file, as its registration keeps it. */
  readonly kept: Readonly<Record<GroupId, Published>>;
  /** Interchangeable: each takes any job. */
  readonly processes: readonly Process[];
  /** Resets that may still take effect, although no process awaits them. */
  readonly orphans: readonly Wire[];
  /** On the queue, or being worked on. Only planner and settler can bring one back. */
  readonly jobs: readonly Work[];
  readonly left: Faults;
  /** The newest read was shown no link. */
  readonly blind: boolean;
  /** The number of codes and attempts so far, which names new ones. */
  readonly counter: number;
}

export const jid = '120363406289005073@g.us';
export const otherJid = '120363406289005074@g.us';

const every = (days: number) => ({ kind: 'every', everyMs: days * dayMs, timezone: 'UTC', window: null }) as const;
const firstSchedule = every(1_000);
/** Both so long that no rotation follows another one within the model's time. */
export const schedules: readonly Entry['schedule'][] = [firstSchedule, every(2_000)];
/** The ticks after the start in which the window is still open. It opens again after the model's time. */
export const windowTicks = 2;
export const closingSchedule: Entry['schedule'] = {
  ...firstSchedule,
  window: { fromMinute: 0, toMinute: (windowTicks * tickMs) / 60_000, days: ['mon'] },
};

const entry: Entry = {
  group: 'vip',
  instance: 'bot',
  identifier: jid,
  enabled: true,
  schedule: firstSchedule,
  queues: ['results'],
  verifyEveryMs: null,
};

/** What a new entry inherits. */
export const nothing: Inherited = { published: null, failures: 0 };
export const desiredGroup = (entry: Entry): DesiredGroup => ({ entry, firstSeen: 'rotate' });

/** One has no time; the other has one, so a reset that started later answers it. */
export const oneOffs: readonly Work[] = [null, startMs].map((requestedAt, i) => ({
  kind: 'request',
  identity: `one-off ${i + 1}`,
  requestedAt,
  attemptsSeen: null,
  position: null,
  link: null,
  request: { requestId: null, requestedBy: null, reason: null },
}));
export const verification: Work = { kind: 'verification' };

/** A job's id. The same job is on the queue at most once. */
export function nameOfJob(work: Work): string {
  if (work.kind === 'request') return work.identity;
  return work.kind === 'scheduled' ? `rotation due ${work.dueAt - startMs}` : work.kind;
}

export const linkOf = (code: string) => ({ code, url: `https://chat.whatsapp.com/${code}` });

export interface Start {
  /** A group that is due, whose link is known and published, or one that has just been registered. */
  readonly link: 'known' | 'unknown';
  readonly workers: number;
  readonly oneOffs: number;
  readonly schedule: Entry['schedule'];
}

export function startState({ link, workers, oneOffs: requests, schedule }: Start, left: Faults): State {
  const live = 'c0';
  const revision = startMs - 1;
  const lastResetAt = startMs - 1_000 * dayMs;
  const known: GroupRecord = {
    ...newRecord,
    ...{ adopt: false, link: linkOf(live), revision, rotatedAt: revision, dueAt: startMs },
    ...{ lastResetAt, resetBegunAt: lastResetAt, reason: 'schedule' },
  };
  const record = withEntry(
    link === 'known' ? known : newRecord,
    desiredGroup({ ...entry, schedule }),
    jid,
    nothing,
    startMs,
  );
  const nobody: Consumer = { held: null, before: null };
  return {
    nowMs: startMs,
    record,
    other: null,
    live,
    origin: { by: 'start', inTurn: true, late: false, lost: null, cameBack: false },
    consumers: {
      vip: link === 'known' ? { held: { code: live, revision }, before: revision } : nobody,
      club: nobody,
    },
    spoken: link === 'known' ? revision : null,
    kept: { vip: null, club: null },
    processes: ['A', 'B', 'C'].slice(0, workers).map((name) => ({ name, frozen: false, doing: idle })),
    orphans: [],
    jobs: oneOffs.slice(0, requests),
    left,
    blind: false,
    counter: 1,
  };
}
