/** BullMQ's worker, which takes about a second between tries where Redis answers it with an error: by itself it would not wait. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, Worker } from 'bullmq';

const retryMs = 1_000;

export class CalmWorker extends Worker {
  protected override async moveToActive(token: string, name?: string): Promise<Job> {
    try {
      return await super.moveToActive(token, name);
    } catch (error) {
      await sleep(retryMs);
      throw error;
    }
  }

  /** Without a time, it is the one after a failed wait for a job. */
  override async delay(ms?: number, abort?: Parameters<Worker['delay']>[1]): Promise<void> {
    await super.delay(ms ?? retryMs, abort);
  }
}
