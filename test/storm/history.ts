/**
 * What was seen from outside during a storm: all that the checker knows. Times are milliseconds since 1970 by the clock
 * of this machine, which Redis uses too.
 */

/** A request as the server saw it. */
export interface SeenRequest {
  readonly endpoint: string;
  readonly token: string | null;
  readonly jid: string | null;
  readonly begin: number;
  /** When the answer was written or the connection ended; null: never. */
  readonly end: number | null;
  /** null: no answer was written. */
  readonly status: number | null;
  /** When the limiter counted it; null: it did not. */
  readonly countedAt: number | null;
  /** The link that it made, and when. */
  readonly effect: { readonly at: number; readonly code: string } | null;
  readonly fault: string | null;
}

/** An event as a consumer received it. */
export interface SeenEvent {
  readonly id: string;
  readonly type: string;
  readonly group: string;
  readonly jid: string | null;
  readonly inviteCode: string | null;
  readonly previousInviteCode: string | null;
  readonly revision: number | null;
  readonly previousRevision: number | null;
  readonly reason: string;
  readonly request: { readonly requestId: string | null } | null;
  readonly rotatedAt: string | null;
  readonly error?: { readonly code: string };
  readonly receivedAt: number;
}

/** A one-off from its push to its end. */
export interface SeenRequestJob {
  readonly requestId: string;
  /** The id or JID that it names. */
  readonly name: string;
  readonly queue: string;
  /** No reset that began before this answers it. */
  readonly askedAt: number;
  /** null: it has not ended. */
  readonly endedAt: number | null;
  /** `unknown`: its queue does not have it any more. */
  readonly state: string;
  readonly failedReason: string | null;
  readonly result: { readonly status: string; readonly inviteCode: string; readonly rotatedAt: string } | null;
}

/** A link of a WhatsApp group; `by`: who made it. */
export interface SeenLink {
  readonly code: string;
  readonly from: number;
  readonly by: 'start' | 'us' | 'human';
}

/** How the file named a WhatsApp group from a time on. Workers get to see that later, each at its own time. */
export interface Place {
  readonly from: number;
  /** null: the file did not have it. */
  readonly group: string | null;
  readonly instance: string | null;
}

/**
 * Something that was done to a worker (kill, freeze, partition), to Redis (cut, restart, refuse: no writes, flush), to a
 * queue (wipe), or to one group (poison: each reset is refused); `nobody`: no worker was there, or none could reach Redis.
 */
export interface Trouble {
  readonly kind:
    | 'kill'
    | 'freeze'
    | 'partition'
    | 'cut'
    | 'restart'
    | 'refuse'
    | 'flush'
    | 'wipe'
    | 'poison'
    | 'nobody';
  readonly from: number;
  /** When it was over. */
  readonly to: number;
  /** The queue that was drained or obliterated. */
  readonly queue?: string;
}

export interface Pause {
  readonly instance: string;
  readonly reason: string;
  readonly from: number;
  readonly to: number;
}

export interface History {
  /** When it was taken. */
  readonly at: number;
  readonly requests: readonly SeenRequest[];
  /** By results queue, in the order in which its consumer received them: BullMQ repeats what a consumer lost. */
  readonly events: Readonly<Record<string, readonly SeenEvent[]>>;
  /** By results queue: ids of events in the order in which they were added to it, and when. */
  readonly added: Readonly<Record<string, readonly { readonly id: string; readonly at: number }[]>>;
  readonly jobs: readonly SeenRequestJob[];
  /** By JID: every link it ever had, oldest first. */
  readonly links: Readonly<Record<string, readonly SeenLink[]>>;
  /** By JID, oldest first. */
  readonly places: Readonly<Record<string, readonly Place[]>>;
  /** When all workers had a file with every group in it, and no trouble came any more; null: not yet. */
  readonly calmAt: number | null;
  /** The instances that the file has at last. */
  readonly instances: readonly string[];
  readonly troubles: readonly Trouble[];
  /** When an instance made no calls because it seemed to be in trouble, as the workers told. */
  readonly pauses: readonly Pause[];
  /** Whether workers read links back now and then to find those that people have changed. */
  readonly verify: boolean;
  readonly limit: { readonly max: number; readonly perMs: number };
  /** After this time a request can have no effect any more, ms. */
  readonly settleMs: number;
  /** For how long an attempt belongs to a process that does not answer, ms. */
  readonly leaseMs: number;
  /** All that the workers wrote, and showed over HTTP. */
  readonly output: string;
  readonly secrets: readonly string[];
  /** Whether the storm came to its end, or was broken off at a first violation. */
  readonly quiet: boolean;
}

/** The last place of each WhatsApp group that the file has. */
export function lastPlaces({ places }: Pick<History, 'places'>): { jid: string; group: string }[] {
  return Object.entries(places).flatMap(([jid, all]) => {
    const group = all.at(-1)?.group ?? null;
    return group === null ? [] : [{ jid, group }];
  });
}

/** The last time after that moment at which Redis was emptied. */
export function flushAfter({ troubles }: Pick<History, 'troubles'>, from: number): Trouble | undefined {
  return troubles.findLast(({ kind, to }) => kind === 'flush' && to >= from);
}

/** By then every group has been adopted again after Redis was emptied: what its record knows is of the time since. */
const relearntMs = 100_000;

/** Whether Redis was emptied so shortly before that a cache may show a link that nobody knows to be old. */
export function isRelearning(history: Pick<History, 'troubles'>, at: number): boolean {
  return isForgotten(history, at - relearntMs, at);
}

/** Whether Redis was emptied between two moments. */
export function isForgotten({ troubles }: Pick<History, 'troubles'>, from: number, to: number): boolean {
  return troubles.some((trouble) => trouble.kind === 'flush' && trouble.to >= from && trouble.from <= to);
}
