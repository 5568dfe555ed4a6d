/**
 * Which workers serve an instance: two of those that have it, by rendezvous hashing. Every worker has a rank for each
 * instance, and the two highest serve it. So all processes come to the same answer without a leader, and a worker that
 * joins or leaves moves only the instances that it serves, each of them once. Pure.
 *
 * Being chosen saves connections and decides nothing else: any worker may take any job, because the group's record
 * decides what is done. Two workers serve each instance, so one of them may die without a gap.
 */

/** A live worker that takes part. */
export interface Server {
  readonly worker: string;
  /** Of its file. */
  readonly instances: ReadonlySet<string>;
  /** Those of its instances that it cannot serve now: their tokens cannot be read. */
  readonly unable: ReadonlySet<string>;
}

export const serversEach = 2;

/** The workers that serve the instance. If none of those that have it is able to, two of them do all the same. */
export function serversOf<T extends Server>(instance: string, servers: readonly T[]): T[] {
  const having = servers.filter(({ instances }) => instances.has(instance));
  const able = having.filter(({ unable }) => !unable.has(instance));
  const candidates = able.length > 0 ? able : having;
  if (candidates.length <= serversEach) return candidates;
  const key = hash(instance);
  return candidates
    .map((server) => ({ server, rank: mix(key ^ hash(server.worker)) }))
    .sort((a, b) => b.rank - a.rank || (a.server.worker < b.server.worker ? -1 : 1))
    .slice(0, serversEach)
    .map(({ server }) => server);
}

/** FNV-1a, mixed: the names of instances often differ in their last digit only. */
function hash(text: string): number {
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return mix(sum);
}

/** MurmurHash3's finalizer: each bit of the result depends on each bit of the argument. */
function mix(value: number): number {
  let sum = value;
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35);
  return (sum ^ (sum >>> 16)) >>> 0;
}
