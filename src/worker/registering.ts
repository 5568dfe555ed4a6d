/** Takes the groups of a configuration over into Redis, and says in the log what came of it. */
import { bucketOf } from '../budget/budget.ts';
import type { Config } from '../config/config.ts';
import { forgetRegistration, syncRegistry } from '../groups/registry.ts';
import type { GroupStore } from '../groups/store.ts';
import type { Logger } from '../log.ts';
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { placeOf } from './rules.ts';
import type { Tokens } from './tokens.ts';

export interface Registering {
  takeOver(config: Config): Promise<void>;
  /** Groups whose records were deleted, or lost by Redis: they begin anew. */
  takeOverLost(config: Config, lost: readonly string[]): Promise<void>;
  /** Groups that only stay in their places until they can be read: `[group, why]`. */
  reportUnreadable(unreadable: readonly (readonly [string, string])[]): void;
  /** Notes which bucket each instance's token has, for those who want to see a budget and know no token. */
  noteBuckets(config: Config): Promise<void>;
}

export interface RegisteringDependencies {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly store: GroupStore;
  readonly tokens: Tokens;
  readonly log: Logger;
}

export function createRegistering({ redis, keys, store, tokens, log }: RegisteringDependencies): Registering {
  const reportUnreadable: Registering['reportUnreadable'] = (unreadable) => {
    for (const [group, why] of unreadable) log.error({ event: 'group.unreadable', group }, why);
  };

  const noteBuckets: Registering['noteBuckets'] = async (config) => {
    const buckets = config.instances.map(({ name }) => [name, bucketOf(tokens.of(name))]);
    await redis.hset(keys.buckets, Object.fromEntries(buckets));
  };

  const takeOver: Registering['takeOver'] = async (config) => {
    const changes = await syncRegistry({ redis, keys, store, placeOf: (group) => placeOf(config, group) }, config);
    await noteBuckets(config);
    for (const [group, owner] of changes.doubles) {
      log.error({ event: 'group.double', group, owner }, `${group} is the same WhatsApp group as ${owner}: it rests`);
    }
    reportUnreadable(changes.unreadable);
    const [added, changed, removed] = [changes.added.length, changes.changed.length, changes.removed.length];
    log.info({ event: 'registry.synced', added, changed, removed }, `${config.groups.length} groups in force`);
  };

  return {
    takeOver,
    async takeOverLost(config, lost) {
      for (const group of lost) {
        log.warn({ event: 'group.lost', group }, `${group}: nothing is known of it in Redis any more: it begins anew`);
        await forgetRegistration(redis, keys, group);
      }
      await takeOver(config);
    },
    reportUnreadable,
    noteBuckets,
  };
}
