/**
 * Which group owns which WhatsApp group. Two entries of a file may turn out to be one (a link and a JID, say): the
 * first one that claims the JID keeps it, so that nobody rotates a link under another's feet.
 */
import type { Keys } from '../redis/keys.ts';
import type { RedisClient } from '../redis/scripts.ts';

/** Makes a group the owner of a JID; returns another group's id where that one owns it already. */
export async function claimJid(redis: RedisClient, keys: Keys, jid: string, group: string): Promise<string | null> {
  if ((await redis.hsetnx(keys.jids, jid, group)) === 1) return null;
  const owner = await redis.hget(keys.jids, jid);
  return owner === null || owner === group ? null : owner;
}

export async function releaseJid(redis: RedisClient, keys: Keys, jid: string, group: string): Promise<void> {
  if ((await redis.hget(keys.jids, jid)) === group) await redis.hdel(keys.jids, jid);
}

/** The group that owns a JID; null: none that is known. */
export async function ownerOfJid(redis: RedisClient, keys: Keys, jid: string): Promise<string | null> {
  return await redis.hget(keys.jids, jid);
}
