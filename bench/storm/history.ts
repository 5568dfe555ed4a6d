/**
 * What was seen from outside during a storm: all that the checker knows. Times are milliseconds since 1970 by the clock
 * of this machine, which Redis uses too.
 */

/** A request as the server saw it. */
export interface SeenRequest {
  readonly endpoint: string;
  readonly jid: string | null;
  readonly begin: number;
  /** null: never ended. */
  readonly end: number | null;
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
}

/** A one-off from its push to its end. */
export interface SeenRequestJob {
  readonly requestId: string;
  readonly jid: string;
  /** No reset that began before this answers it. */
  readonly askedAt: number;
  readonly state: string;
  readonly failedReason: string | null;
  readonly result: { readonly status: string; readonly inviteCode: string; readonly rotatedAt: string } | null;
}

export interface History {
  readonly requests: readonly SeenRequest[];
  /** By results queue, in the order in which its consumer received them: BullMQ repeats what a consumer lost. */
  readonly events: Readonly<Record<string, readonly SeenEvent[]>>;
  /** By results queue: ids of events in the order in which they were added to it. */
  readonly added: Readonly<Record<string, readonly string[]>>;
  readonly jobs: readonly SeenRequestJob[];
  /** By JID: every link it ever had, oldest first; `by`: who made it. */
  readonly links: Readonly<
    Record<string, readonly { readonly code: string; readonly from: number; readonly by: 'start' | 'us' | 'human' }[]>
  >;
  /** Group id by JID. */
  readonly groups: Readonly<Record<string, string>>;
  readonly limit: { readonly max: number; readonly perMs: number };
  /** After this time a request can have no effect any more, ms. */
  readonly settleMs: number;
  /** All that the workers wrote, and showed over HTTP. */
  readonly output: string;
  readonly secrets: readonly string[];
  /** Whether the storm came to its end, or was broken off at a first violation. */
  readonly quiet: boolean;
}
