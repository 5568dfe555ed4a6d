/**
 * Suspicion: WhatsApp's own trouble has been reported as if the groups were at fault. When several groups of an
 * instance fail in a row for reasons of their own, the instance is suspected: its gate closes, and each of them gets a
 * second call before it is blamed. So a first failure of this kind is doubted for a moment, in which others may follow.
 */
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';

const suspectLua = loadScript('suspect', import.meta.url);

/** Groups that fail in a row. */
const tooMany = 3;
/** Failures further apart are no row. */
const rowMs = 10 * 60_000;
const reprieveMs = 24 * 3_600_000;
/** For how long a first failure is doubted. */
export const doubtMs = 2_000;

/** Notes a group's failure; true: its instance is suspected now. */
export async function suspect(redis: RedisClient, keys: Keys, instance: string, group: string): Promise<boolean> {
  const result = await runScript(
    redis,
    suspectLua,
    [keys.suspects(instance), keys.reprieved(instance)],
    [group, tooMany, rowMs, reprieveMs],
  );
  return result === 1;
}

/** Whether a second call is owed to the group. */
export async function isReprieved(redis: RedisClient, keys: Keys, instance: string, group: string): Promise<boolean> {
  return (await redis.sismember(keys.reprieved(instance), group)) === 1;
}

/** The second call was made. */
export async function endReprieve(redis: RedisClient, keys: Keys, instance: string, group: string): Promise<void> {
  await redis.srem(keys.reprieved(instance), group);
}
