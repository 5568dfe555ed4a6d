/** Refuses ioredis clients that cannot do what the library promises, when they are given and not when they fail. */
import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis';

/** What would be right, for each option that a client that is given must not have. */
const refused: readonly {
  readonly option: keyof RedisOptions;
  readonly isWrong: (value: unknown) => boolean;
  readonly right: string;
}[] = [
  {
    option: 'maxRetriesPerRequest',
    isWrong: (value) => value !== null,
    right: 'set it to null, so that its commands wait for a Redis that is away',
  },
  {
    option: 'enableOfflineQueue',
    isWrong: (value) => value === false,
    right: 'leave it out, so that its commands wait while it connects',
  },
  {
    option: 'commandTimeout',
    isWrong: (value) => value !== undefined && value !== null,
    right: 'leave it out: a command that is given up may still take effect. To limit a call, use timeoutMs',
  },
  {
    option: 'keyPrefix',
    isWrong: (value) => value !== undefined && value !== null && value !== '',
    right: "leave it out: BullMQ's keys begin with the option prefix",
  },
];

/** Throws a `TypeError` that names the option and what would be right. */
export function refuseUnsuitable(client: Redis | Cluster): void {
  // node-redis has a `duplicate` as well.
  if (typeof client.defineCommand !== 'function' || typeof client.evalsha !== 'function') {
    throw new TypeError('connection: expected a URL, options of ioredis, or a client of ioredis');
  }
  if (client.status === 'end') throw new TypeError('connection: this client has been closed');
  const own = client.isCluster ? optionsOfCluster((client as Cluster).options) : (client as Redis).options;
  for (const { option, isWrong, right } of refused) {
    const value = own[option];
    if (isWrong(value)) throw new TypeError(`connection: this client has ${option} ${String(value)}; ${right}`);
  }
}

/** A cluster's client tries for ever, and the limit of its nodes' is never reached. */
function optionsOfCluster({ redisOptions, enableOfflineQueue, keyPrefix }: ClusterOptions): Partial<RedisOptions> {
  return {
    maxRetriesPerRequest: null,
    ...redisOptions,
    ...(enableOfflineQueue === undefined ? {} : { enableOfflineQueue }),
    ...(keyPrefix ? { keyPrefix } : {}),
  };
}
