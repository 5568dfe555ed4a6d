/** Waits for the end of a one-off's job, whatever happens to the connection meanwhile. */
import type { Job, QueueEvents } from 'bullmq';

/** Events that were lost in an outage are made up for by asking: this often. */
const askEveryMs = 5_000;

/** The job has not ended in the time that was given to it. It stays queued. */
export class NotEndedError extends Error {
  override readonly name = 'NotEndedError';
}

/** The job's return value; rejects with its reason where it failed, and with a `NotEndedError` after `timeoutMs`. */
export async function endOf(job: Job, events: QueueEvents, timeoutMs: number): Promise<unknown> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const leftMs = until - performance.now();
    if (leftMs <= 0) throw new NotEndedError(`job ${job.id} has not ended within ${timeoutMs} ms`);
    try {
      return await job.waitUntilFinished(events, Math.min(askEveryMs, leftMs));
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes('timed out before finishing')) throw error;
    }
  }
}
