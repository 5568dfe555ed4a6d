/**
 * Decides when an event is delivered to the handler. Guarantees, for all processes that consume one queue:
 *
 * - no older revision of a group is delivered after a newer one;
 * - the events of a group are handled one at a time;
 * - a handled event is not delivered again.
 *
 * Redis holds the highest revision delivered for each group, and a lease on the group while its handler runs. The times
 * between retries are kept in memory, so a restarted consumer retries at once.
 */
import { randomUUID } from 'node:crypto';
import type { LinkEvent, NewLinkEvent } from '../contract/event.ts';
import type { Database } from '../redis/database.ts';
import { loadScript, runScript } from '../redis/scripts.ts';
import { retryTransient } from './calls.ts';

const claimLua = loadScript('claim', import.meta.url);
const finishLua = loadScript('finish', import.meta.url);

/** A handler whose lease is not renewed for this long has died. Another process may then handle its group. */
const leaseMs = 10_000;
const renewEveryMs = 3_000;
/** How long to wait before checking again whether another process still handles a group. */
const busyPollMs = 250;
/** How long Redis may refuse to note a handled event before the event is delivered again. */
const finishTimeoutMs = 10_000;

export function createDelivery({ redis, keys }: Database, queue: string) {
  const inTurn = createTurns();

  async function handle({ group, revision }: NewLinkEvent, handler: () => Promise<void>): Promise<number> {
    const pair = [keys.lastHandled(queue), keys.handlerLease(queue, group)];
    const id = randomUUID();
    const claim = async () => Number(await runScript(redis, claimLua, pair, [group, revision, id, leaseMs]));
    const verdict = await claim();
    if (verdict !== 0) return Math.min(Math.max(verdict, 0), busyPollMs);
    // A renewal that fails because Redis is unreachable succeeds once it is reachable again.
    const renewal = setInterval(() => void claim().catch(() => {}), renewEveryMs);
    let isHandled = false;
    try {
      await handler();
      isHandled = true;
    } finally {
      clearInterval(renewal);
      const finish = () => runScript(redis, finishLua, pair, [group, revision, id, isHandled ? 1 : 0]);
      // The limit starts at the first refusal: an earlier outage does not count.
      await finish().catch(() => retryTransient(redis, AbortSignal.timeout(finishTimeoutMs), finish));
    }
    return 0;
  }

  return {
    /**
     * Calls the handler if the event is next in its group. Resolves with 0 when the event is finished, or with the
     * milliseconds after which to try again, because another process handles its group. Rejects if the handler fails.
     */
    deliver: (event: NewLinkEvent, handler: () => Promise<void>) => inTurn(event.group, () => handle(event, handler)),

    /** Whether a newer link of the event's group was delivered. */
    async isOutdated({ group, revision }: LinkEvent): Promise<boolean> {
      const last = await redis.hget(keys.lastHandled(queue), group);
      return last !== null && Number.parseInt(last, 10) > (revision ?? -1);
    },
  };
}

/** Runs the calls of each group one after another, in the order in which they were made. */
function createTurns() {
  const last = new Map<string, Promise<unknown>>();
  return async <T>(group: string, act: () => Promise<T>): Promise<T> => {
    const before = last.get(group) ?? Promise.resolve();
    const mine = before.then(act);
    const settled = mine.catch(() => {});
    last.set(group, settled);
    try {
      return await mine;
    } finally {
      if (last.get(group) === settled) last.delete(group);
    }
  };
}
