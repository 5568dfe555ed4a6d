/**
 * Puts events that lie among the failed ones back on their queue. Versions before 0.2 gave an event up after ten tries;
 * what became outdated meanwhile is dropped when it is taken again.
 */
import { openQueue } from '../bullmq/queues.ts';
import { linkEvent } from '../contract/event.ts';
import type { RedisClient } from '../redis/scripts.ts';

const everyMs = 60_000;
const pageSize = 500;

/** Now and then until `stop` is called. What is no event stays where it is. */
export function reviveFailed(name: string, redis: RedisClient, prefix: string): { stop(): void } {
  const queue = openQueue(name, { redis, prefix });
  let isLooking = false;

  async function look(): Promise<void> {
    if (isLooking) return;
    isLooking = true;
    try {
      // Those that are put back leave the list, so the pages of those that stay are counted.
      for (let stay = 0; ; ) {
        const failed = await queue.getJobs(['failed'], stay, stay + pageSize - 1, true);
        const events = failed.filter((job) => linkEvent.safeParse(job?.data).success);
        await Promise.all(events.map((job) => job.retry('failed').catch(() => {})));
        if (failed.length < pageSize) return;
        stay += failed.length - events.length;
        if (events.length === 0 && stay >= maxStay) return;
      }
    } catch {
      // Redis is away, or refuses: the next look does it.
    } finally {
      isLooking = false;
    }
  }

  const timer = setInterval(() => void look(), everyMs);
  void look();
  return {
    stop() {
      clearInterval(timer);
      queue.close().catch(() => {});
    },
  };
}

/** The worker keeps no more of them. */
const maxStay = 10_000;
