/**
 * What was observed from outside during a storm, which is everything that the checker knows. Times are milliseconds since
 * 1970 on the clock of this machine, which Redis shares.
 */

/** A request as the server saw it. */
export interface SeenRequest {
  readonly endpoint: string;
  readonly token: string | null;
  readonly jid: string | null;
  readonly begin: number;
  /** When the answer was written or the connection closed. Null if neither happened. */
  readonly end: number | null;
  /** Null if no answer was written. */
  readonly status: number | null;
  /** When the limiter counted the request. Null if it did not. */
  readonly countedAt: number | null;
  /** The link that the request made, and when. */
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

/** A one-off, from being pushed to being finished. */
export interface SeenRequestJob {
  readonly requestId: string;
  /** The id or JID that the one-off names; the JID of the group whose link it names. */
  readonly name: string;
  /** The code of that link, which was live when the one-off was pushed. */
  readonly code?: string;
  readonly queue: string;
  /** A reset that started before this does not answer the one-off. */
  readonly requestedAt: number;
  /** Null if it has not finished. */
  readonly endedAt: number | null;
  /** `unknown` if its queue no longer has the job. */
  readonly state: string;
  readonly failedReason: string | null;
  /** How often it was retried after it had failed. */
  readonly retries: number;
  readonly result: { readonly status: string; readonly inviteCode: string; readonly rotatedAt: string } | null;
}

/** A link of a WhatsApp group, and who made it. */
export interface SeenLink {
  readonly code: string;
  readonly from: number;
  readonly by: 'start' | 'us' | 'human';
}

/** The id and instance that the file gave a WhatsApp group from a time on. Each worker sees that later, at its own time. */
export interface Place {
  readonly from: number;
  /** Null if the file did not have the group. */
  readonly group: string | null;
  readonly instance: string | null;
}

/**
 * A disturbance of a worker (`kill`, `freeze`, `partition`), of Redis (`cut`, `restart`, `refuse` for refused writes,
 * `flush`), of a queue (`wipe`) or of one group (`poison`: every reset is refused). `noWorker` is a time in which no worker
 * was running and connected to Redis.
 */
export interface Incident {
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
    | 'noWorker';
  readonly from: number;
  /** When the disturbance ended. Infinite while it lasts. */
  readonly to: number;
  /** For `wipe`: the queue that was drained or obliterated. */
  readonly queue?: string;
}

export interface Pause {
  readonly instance: string;
  readonly reason: string;
  readonly from: number;
  readonly to: number;
}

export interface History {
  /** When the history was taken. */
  readonly at: number;
  readonly requests: readonly SeenRequest[];
  /** By results queue, in the order of receipt. BullMQ delivers an event again if its consumer lost it. */
  readonly events: Readonly<Record<string, readonly SeenEvent[]>>;
  /** By results queue: the ids of events in the order in which they were added, and when. */
  readonly added: Readonly<Record<string, readonly { readonly id: string; readonly at: number }[]>>;
  readonly jobs: readonly SeenRequestJob[];
  /** By JID: every link that the group ever had, oldest first. */
  readonly links: Readonly<Record<string, readonly SeenLink[]>>;
  /** By JID, oldest first. */
  readonly places: Readonly<Record<string, readonly Place[]>>;
  /** When all workers had a file with every group in it and incidents had stopped. Null before that. */
  readonly calmAt: number | null;
  /** The instances that the file has at the end. */
  readonly instances: readonly string[];
  readonly incidents: readonly Incident[];
  /** The pauses of instances that the workers logged. */
  readonly pauses: readonly Pause[];
  /** Whether workers verify links periodically. */
  readonly verify: boolean;
  readonly limit: { readonly max: number; readonly perMs: number };
  /** After this time a request can no longer have an effect, ms. */
  readonly settleMs: number;
  /** How long an attempt stays reserved for a process that does not respond, ms. */
  readonly leaseMs: number;
  /** Everything that the workers logged and served over HTTP. */
  readonly output: string;
  readonly secrets: readonly string[];
  /** Whether the storm has ended and the program had time to settle. */
  readonly quiet: boolean;
}

/** The last id of each WhatsApp group that is in the file. */
export function lastPlaces({ places }: Pick<History, 'places'>): { jid: string; group: string }[] {
  return Object.entries(places).flatMap(([jid, all]) => {
    const group = all.at(-1)?.group ?? null;
    return group === null ? [] : [{ jid, group }];
  });
}

/** The last emptying of Redis after a time. */
export function flushAfter({ incidents }: Pick<History, 'incidents'>, from: number): Incident | undefined {
  return incidents.findLast(({ kind, to }) => kind === 'flush' && to >= from);
}

/** Within this time after Redis was emptied, every group is adopted again and its record knows the codes since. */
const relearntMs = 100_000;

/** Whether Redis was emptied so recently that the program may not recognise an old link that a cache shows. */
export function isRelearning(history: Pick<History, 'incidents'>, at: number): boolean {
  return isForgotten(history, at - relearntMs, at);
}

/** Whether Redis was emptied between two times. */
export function isForgotten({ incidents }: Pick<History, 'incidents'>, from: number, to: number): boolean {
  return incidents.some((incident) => incident.kind === 'flush' && incident.to >= from && incident.from <= to);
}
