/**
 * Every Redis key that this program reads or writes, beside those of BullMQ itself. All start with BullMQ's prefix, so
 * that one prefix (with a `{hash tag}` on Redis Cluster) holds an installation together.
 */

/** BullMQ's queue of one-offs and released rotations for one instance; part of the contract. */
export function rotationsQueue(instance: string): string {
  return `rotations-${instance}`;
}

/** BullMQ's queue of the repeatable job `plan`; internal, and apart from the others so that no gate ever stops it. */
export const plannerQueue = 'rotation-planner';

export interface Keys {
  /** Hash `{version, record}`: a group's state (`groups/record.ts`). */
  group(id: string): string;
  /** Hash, group id → JSON: what the registry last took over from a file (`groups/registry.ts`). */
  readonly registered: string;
  /** Hash, JID → id of the group that owns it. */
  readonly jids: string;
  /** Sorted set, group id by the time at which the planner looks at it next. */
  due(instance: string): string;
  /** Sorted set, group id by the time at which its link is to be read back next. */
  verifications(instance: string): string;
  /** Sorted set, slot id by the time at which it is given back. `bucket`: hash of a token. */
  slots(bucket: string): string;
  /** Hash: what is known of the server's count for this token. */
  bucket(bucket: string): string;
  /** Sorted set: work that waits for a slot of this token, by its number in line. */
  line(bucket: string, work: 'one-offs' | 'scheduled'): string;
  /** Sorted set: the same work by the time at which it is to ask again. */
  appointments(bucket: string, work: 'one-offs' | 'scheduled'): string;
  /** Hash, instance → bucket of its token: for those who want to see a budget and know no token. */
  readonly buckets: string;
  /** Hash: why and until when an instance is left alone. */
  gate(instance: string): string;
  /** Set: groups of the instance that failed in a row for reasons of their own. */
  suspects(instance: string): string;
  /** Set: groups of the instance that are owed a second call before they are blamed. */
  reprieved(instance: string): string;
  /** String: time of the instance's last scheduled reset, for `pace`. */
  pace(instance: string): string;
  /** List, oldest first: events committed and not yet on that results queue. */
  outbox(queue: string): string;
  /** String with expiry: who is publishing that outbox. */
  publisher(queue: string): string;
  /** Hash, group → the highest revision that the consumers of that results queue were handed. */
  marks(queue: string): string;
  /** String with expiry: who is handling an event of that group. */
  handling(queue: string, group: string): string;
  /** String: when the planner last finished a tick. */
  readonly lastTick: string;
  /** String with expiry: when a worker last wrote to Redis, to see whether it can. */
  readonly heartbeat: string;
}

export function makeKeys(prefix: string): Keys {
  const root = `${prefix}:invite-rotator`;
  return {
    group: (id) => `${root}:group:${id}`,
    registered: `${root}:registered`,
    jids: `${root}:jids`,
    due: (instance) => `${root}:due:${instance}`,
    verifications: (instance) => `${root}:verifications:${instance}`,
    slots: (bucket) => `${root}:slots:${bucket}`,
    bucket: (bucket) => `${root}:bucket:${bucket}`,
    line: (bucket, work) => `${root}:line:${bucket}:${work}`,
    appointments: (bucket, work) => `${root}:appointments:${bucket}:${work}`,
    buckets: `${root}:buckets`,
    gate: (instance) => `${root}:gate:${instance}`,
    suspects: (instance) => `${root}:suspects:${instance}`,
    reprieved: (instance) => `${root}:reprieved:${instance}`,
    pace: (instance) => `${root}:pace:${instance}`,
    outbox: (queue) => `${root}:outbox:${queue}`,
    publisher: (queue) => `${root}:publisher:${queue}`,
    marks: (queue) => `${root}:marks:${queue}`,
    handling: (queue, group) => `${root}:handling:${queue}:${group}`,
    lastTick: `${root}:last-tick`,
    heartbeat: `${root}:heartbeat`,
  };
}
