/** Hands events over one at a time for each group, in any number of processes, and never an older one after a newer one. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LinkEvent, NewLinkEvent } from '../contract/event.ts';
import { isTransient } from '../redis/errors.ts';
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';

const claimLua = loadScript('claim', import.meta.url);
const finishLua = loadScript('finish', import.meta.url);

export interface Place {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly queue: string;
}

/** A handler that is not heard of for so long has died; another process may handle its group. */
const leaseMs = 10_000;
const renewEveryMs = 3_000;
/** How long to wait before looking again at a group that another process handles. */
const busyPollMs = 250;

/** Hands the event over if that is right; returns 0, or after how many milliseconds to look again. */
export async function handOver(
  { redis, keys, queue }: Place,
  event: NewLinkEvent,
  handler: () => Promise<void>,
): Promise<number> {
  const { group, revision } = event;
  const pair = [keys.lastHandled(queue), keys.handlerLease(queue, group)];
  const id = randomUUID();
  const claim = async () => Number(await runScript(redis, claimLua, pair, [group, revision, id, leaseMs]));
  const verdict = await claim();
  if (verdict !== 0) return Math.min(Math.max(verdict, 0), busyPollMs);
  // A lease that cannot be renewed now is renewed as soon as Redis is back.
  const renewal = setInterval(() => void claim().catch(() => {}), renewEveryMs);
  let handled = false;
  try {
    await handler();
    handled = true;
  } finally {
    clearInterval(renewal);
    await untilTaken(redis, () => runScript(redis, finishLua, pair, [group, revision, id, handled ? 1 : 0]));
  }
  return 0;
}

const takeTries = 10;
const takeRetryMs = 1_000;

/** A Redis that refuses for a moment to note what was handled must not make it come again. */
async function untilTaken(redis: RedisClient, act: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await act();
      return;
    } catch (error) {
      if (tries === takeTries || redis.status === 'end' || !isTransient(error)) throw error;
    }
    await sleep(takeRetryMs);
  }
}

/** Whether a newer link of the group was handed over. */
export async function isOutdated({ redis, keys, queue }: Place, event: LinkEvent): Promise<boolean> {
  const mark = await redis.hget(keys.lastHandled(queue), event.group);
  return mark !== null && Number.parseInt(mark, 10) > (event.revision ?? -1);
}

/** Lets what concerns one group be done one after the other, in the order in which it was asked. */
export function createTurns() {
  const last = new Map<string, Promise<unknown>>();
  return {
    async inTurn<T>(group: string, act: () => Promise<T>): Promise<T> {
      const before = last.get(group) ?? Promise.resolve();
      const mine = before.then(act, act);
      const settled = mine.catch(() => {});
      last.set(group, settled);
      try {
        return await mine;
      } finally {
        if (last.get(group) === settled) last.delete(group);
      }
    },
  };
}
