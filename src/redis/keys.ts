import { createHash } from 'node:crypto';

/**
 * Every Redis key of this program, except BullMQ's own. All start with BullMQ's prefix, so that one prefix (with a
 * `{hash tag}` on Redis Cluster) keeps an installation together.
 */

export type Keys = ReturnType<typeof makeKeys>;

export function makeKeys(prefix: string) {
  const root = `${prefix}:invite-rotator`;
  return {
    /**
     * Hash `{version, record, history}`: a group's state (`groups/record.ts`) and the revisions of its link
     * (`groups/revisions.ts`). `recordId`: its JID, or its id until that is known.
     */
    group: (recordId: string) => `${root}:group:${recordId}`,
    /** String: the record of the group that has or had this invite code. Expires some time after it was replaced. */
    link: (code: string) => `${root}:link:${digestOf(code)}`,
    /** String with expiry: the job that asks RyzeAPI for the group of this code, or the answer that there is none. */
    lookUp: (instance: string, code: string) => `${root}:look-up:${instance}:${digestOf(code)}`,
    /** String: present once the links that older versions stored have been indexed. */
    linksIndexed: `${root}:links-indexed`,
    /** Hash, group id → JSON: its registration from the workers' files (`groups/record.ts`). */
    registered: `${root}:registered`,
    /** Hash, invite code → the JID that it was resolved to. */
    resolved: `${root}:resolved`,
    /** Hash, digest of a file → its generation (`groups/files.ts`). */
    generations: `${root}:generations`,
    /** Sorted set, worker and digest of its file by the time of its last announcement. */
    workers: `${root}:workers`,
    /** Hash, worker → JSON: what that worker says about itself (`groups/files.ts`). */
    workerNotes: `${root}:worker-notes`,
    /** String with expiry, JSON: the names of a file's instances (`groups/members.ts`). */
    instanceList: (digest: string) => `${root}:instances-of:${digest}`,
    /** Set with expiry: the ids of a file's groups. */
    fileIds: (digest: string) => `${root}:file:${digest}`,
    /** Sorted set, record id by the time at which the planner handles it next. */
    due: (instance: string) => `${root}:due:${instance}`,
    /** Sorted set, record id by the time of its next verification. */
    verifications: (instance: string) => `${root}:verifications:${instance}`,
    /** Sorted set, instance by the first time in its `due`. */
    firstDue: `${root}:first-due`,
    /** Sorted set, instance by the first time in its `verifications`. */
    firstVerification: `${root}:first-verification`,
    /** Sorted set, record id of an unsettled attempt by the time at which it can be settled. */
    unsettled: `${root}:unsettled`,
    /** Sorted set, record id by its state (`groups/states.ts`). */
    states: (instance: string) => `${root}:states:${instance}`,
    /** Sorted set, record id by the start of its link, of groups that have a schedule. */
    linkStarts: (instance: string) => `${root}:link-starts:${instance}`,
    /** The same by the time at which the link is two periods old. */
    linkPeriods: (instance: string) => `${root}:link-periods:${instance}`,
    /** String: present once all groups that older versions stored have been counted. */
    statesIndexed: `${root}:states-indexed`,
    /** String: how far the recount of the groups' states has come (`groups/recount.ts`). */
    recount: `${root}:recount`,
    /** String with expiry: a worker recounts now. */
    recounting: `${root}:recounting`,
    /** Sorted set, slot id by the time at which the slot is free again. `bucket`: hash of a token. */
    slots: (bucket: string) => `${root}:slots:${bucket}`,
    /** Sorted set: of these, the slots of periodic verifications, by the same time. */
    verificationSlots: (bucket: string) => `${root}:verification-slots:${bucket}`,
    /** String with expiry: when a periodic verification last went ahead. Until it expires, it gives way to other work. */
    verificationGivesWay: (bucket: string) => `${root}:verification-gives-way:${bucket}`,
    /** Hash: what is known of the server's own count for this token. */
    bucket: (bucket: string) => `${root}:bucket:${bucket}`,
    /** Sorted set: work that waits for a slot of this token, by its first retry time. */
    waitList: (bucket: string, work: 'one-offs' | 'scheduled') => `${root}:wait-list:${bucket}:${work}`,
    /** String: how late that wait list is, in milliseconds. */
    waitListLag: (bucket: string, work: 'one-offs' | 'scheduled') => `${root}:wait-list-lag:${bucket}:${work}`,
    /** Set: buckets that have a wait list. */
    waitLists: `${root}:wait-lists`,
    /** Hash, instance → bucket of its token, for readers that know no token. */
    buckets: `${root}:buckets`,
    /** Sorted set, every instance ever configured, by the time at which a worker last had it in its file. */
    instances: `${root}:instances`,
    /** Hash: why and until when an instance is paused. */
    gate: (instance: string) => `${root}:gate:${instance}`,
    /** Set: instances that have a gate. */
    gates: `${root}:gates`,
    /** Sorted set, cause/group by the time of a failure: the groups that failed in a row, without a success between. */
    row: (instance: string, call: 'reset' | 'read') => `${root}:row:${call}:${instance}`,
    /** Hash, group → kind of its call: the groups whose failures closed the gate or kept it closed. */
    blamed: (instance: string) => `${root}:blamed:${instance}`,
    /** Hash, group → cause, kind of call, and until when failures of that cause are the group's own. */
    culprits: (instance: string) => `${root}:culprits:${instance}`,
    /** String: time of the instance's last scheduled reset, for `pace`. */
    pace: (instance: string) => `${root}:pace:${instance}`,
    /** List, oldest first: events committed but not yet on that results queue. */
    outbox: (queue: string) => `${root}:outbox:${queue}`,
    /** String with expiry: why a one-off has failed, once its failure event was committed (`groups/failedOneOffs.ts`). */
    failedOneOff: (identity: string) => `${root}:failed:${digestOf(identity)}`,
    /** String: sequence of the last failure event of an unknown group. */
    unknownFailures: `${root}:unknown-failures`,
    /** Set: results queues that ever had an outbox. */
    outboxes: `${root}:outboxes`,
    /** String with expiry: the process that is publishing that outbox. */
    publisher: (queue: string) => `${root}:publisher:${queue}`,
    /** Hash, group → the highest revision delivered to the consumers of that results queue. */
    lastHandled: (queue: string) => `${root}:marks:${queue}`,
    /** String with expiry: the process that handles an event of that group. */
    handlerLease: (queue: string, group: string) => `${root}:handling:${queue}:${group}`,
    /** String: the name of this data set; another name means that Redis has lost everything. */
    dataset: `${root}:dataset`,
    /** String with expiry: stamps up to this time are ignored, because the clock was set back. */
    clockDoubt: `${root}:clock-doubt`,
    /** String: the time of the planner's last tick. */
    lastTick: `${root}:last-tick`,
    /** String with expiry: the time of a worker's last write, made to see whether it can write. */
    heartbeat: `${root}:heartbeat`,
  };
}

/** Stands for a code or link, in names of keys say, which appear in messages of Redis. */
export function digestOf(code: string): string {
  return createHash('sha256').update(code).digest('base64url').slice(0, 22);
}
