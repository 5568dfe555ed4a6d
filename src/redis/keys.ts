/**
 * Every Redis key that this program reads or writes, beside those of BullMQ itself. All start with BullMQ's prefix, so
 * that one prefix (with a `{hash tag}` on Redis Cluster) holds an installation together.
 */

export interface Keys {
  /** Hash `{version, record}`: a group's state (`groups/record.ts`). `recordId`: its JID, or its id until that is known. */
  group(recordId: string): string;
  /** Hash, group id → JSON: what was registered from the workers' files (`groups/record.ts`). */
  readonly registered: string;
  /** Hash, invite code → JID: what a code in a file was resolved to. */
  readonly resolved: string;
  /** Hash, digest of a file → its generation (`groups/files.ts`). */
  readonly generations: string;
  /** Sorted set, worker and digest of its file by the time at which it last announced that. */
  readonly workers: string;
  /** Set with expiry: the ids of the groups in a file. */
  fileIds(digest: string): string;
  /** Sorted set, record id by the time at which the planner looks at it next. */
  due(instance: string): string;
  /** Sorted set, record id by the time at which its link is to be verified next. */
  verifications(instance: string): string;
  /** Sorted set, record id by the time at which what is unsettled of it is looked at. */
  readonly unsettled: string;
  /** Sorted set, slot id by the time at which it is given back. `bucket`: hash of a token. */
  slots(bucket: string): string;
  /** Hash: what is known of the server's count for this token. */
  bucket(bucket: string): string;
  /** Sorted set: work that waits for a slot of this token, by the time at which it was first told to ask again. */
  waitList(bucket: string, work: 'one-offs' | 'scheduled'): string;
  /** String: by how much that wait list is late, in milliseconds. */
  waitListLag(bucket: string, work: 'one-offs' | 'scheduled'): string;
  /** Hash, instance → bucket of its token: for those who want to see a budget and know no token. */
  readonly buckets: string;
  /** Sorted set, instance by the time at which a worker last had it in its file: all that there ever were. */
  readonly instances: string;
  /** Hash: why and until when an instance is paused. */
  gate(instance: string): string;
  /** Sorted set, cause/group by the time of a failure: the groups that failed one after another, with no call that worked. */
  row(instance: string, call: 'reset' | 'read'): string;
  /** Hash, group → kind of its call: the groups whose failures closed the gate, or kept it closed. */
  blamed(instance: string): string;
  /** Hash, group → cause, kind of call, and until when: failures of that cause are the group's own. */
  culprits(instance: string): string;
  /** String: time of the instance's last scheduled reset, for `pace`. */
  pace(instance: string): string;
  /** List, oldest first: events committed and not yet on that results queue. */
  outbox(queue: string): string;
  /** String: number of the last failure event of a group that nobody knows. */
  readonly unknownFailures: string;
  /** Set: results queues that ever had an outbox. */
  readonly outboxes: string;
  /** String with expiry: who is publishing that outbox. */
  publisher(queue: string): string;
  /** Hash, group → the highest revision that the consumers of that results queue were handed. */
  lastHandled(queue: string): string;
  /** String with expiry: who is handling an event of that group. */
  handlerLease(queue: string, group: string): string;
  /** String: names what this Redis holds; another name means that it has lost everything. */
  readonly dataset: string;
  /** String with expiry: stamps up to this time are not believed, because the clock was set back. */
  readonly clockDoubt: string;
  /** String: when the planner last finished a tick. */
  readonly lastTick: string;
  /** String with expiry: when a worker last wrote to Redis, to see whether it can. */
  readonly heartbeat: string;
}

export function makeKeys(prefix: string): Keys {
  const root = `${prefix}:invite-rotator`;
  return {
    group: (recordId) => `${root}:group:${recordId}`,
    registered: `${root}:registered`,
    resolved: `${root}:resolved`,
    generations: `${root}:generations`,
    workers: `${root}:workers`,
    fileIds: (digest) => `${root}:file:${digest}`,
    due: (instance) => `${root}:due:${instance}`,
    verifications: (instance) => `${root}:verifications:${instance}`,
    unsettled: `${root}:unsettled`,
    slots: (bucket) => `${root}:slots:${bucket}`,
    bucket: (bucket) => `${root}:bucket:${bucket}`,
    waitList: (bucket, work) => `${root}:wait-list:${bucket}:${work}`,
    waitListLag: (bucket, work) => `${root}:wait-list-lag:${bucket}:${work}`,
    buckets: `${root}:buckets`,
    instances: `${root}:instances`,
    gate: (instance) => `${root}:gate:${instance}`,
    row: (instance, call) => `${root}:row:${call}:${instance}`,
    blamed: (instance) => `${root}:blamed:${instance}`,
    culprits: (instance) => `${root}:culprits:${instance}`,
    pace: (instance) => `${root}:pace:${instance}`,
    outbox: (queue) => `${root}:outbox:${queue}`,
    unknownFailures: `${root}:unknown-failures`,
    outboxes: `${root}:outboxes`,
    publisher: (queue) => `${root}:publisher:${queue}`,
    lastHandled: (queue) => `${root}:marks:${queue}`,
    handlerLease: (queue, group) => `${root}:handling:${queue}:${group}`,
    dataset: `${root}:dataset`,
    clockDoubt: `${root}:clock-doubt`,
    lastTick: `${root}:last-tick`,
    heartbeat: `${root}:heartbeat`,
  };
}
