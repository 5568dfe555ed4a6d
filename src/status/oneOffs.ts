/** The one-offs of one group that wait or run. Contains no link, code or token. */
import { openQueue } from '../bullmq/queues.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import { parseRequest, requestJob } from '../contract/request.ts';
import { findGroup } from '../groups/jids.ts';
import { createGroupStore, type GroupStore, RecordError, readable } from '../groups/store.ts';
import type { Database } from '../redis/database.ts';
import { withoutLinks } from './group.ts';

export interface QueuedOneOff {
  readonly job: string;
  readonly state: 'active' | 'waiting' | 'delayed';
  /** By its producer's clock. Null: it has set no time, or an impossible one. */
  readonly pushedAt: string | null;
  readonly requestedBy: string | null;
  readonly reason: string | null;
}

export interface QueuedOneOffs {
  readonly oneOffs: readonly QueuedOneOff[];
  /** The queue has more jobs than were read. */
  readonly isCut: boolean;
}

/** Jobs read of each state. */
const maxJobs = 500;

export async function readOneOffs(
  db: Database,
  { group, instance }: { readonly group: string; readonly instance: string },
): Promise<QueuedOneOffs> {
  const queue = openQueue(rotationsQueue(instance), db);
  const store = createGroupStore(db);
  try {
    const states = [
      { state: 'active', jobs: await queue.getJobs(['active'], 0, maxJobs - 1, true) },
      { state: 'waiting', jobs: await queue.getJobs(['wait', 'prioritized'], 0, maxJobs - 1, true) },
      { state: 'delayed', jobs: await queue.getJobs(['delayed'], 0, maxJobs - 1, true) },
    ] as const;
    const oneOffs: QueuedOneOff[] = [];
    for (const { state, jobs } of states) {
      for (const job of jobs) {
        // A job may be gone by the time it is read.
        const parsed = job?.name === requestJob ? parseRequest(job.data) : null;
        if (!parsed?.ok) continue;
        const { group: named, requestedBy, reason } = parsed.request;
        if (named !== group && (await groupOf(store, named)) !== group) continue;
        oneOffs.push({
          job: job.id ?? '',
          state,
          pushedAt: isoTime(job.timestamp),
          requestedBy: withoutLinks(requestedBy ?? null, []),
          reason: withoutLinks(reason ?? null, []),
        });
      }
    }
    return { oneOffs, isCut: states.some(({ jobs }) => jobs.length === maxJobs) };
  } finally {
    await queue.close();
  }
}

function isoTime(ms: number): string | null {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}

/** Null also if the group's record cannot be read. */
async function groupOf(store: GroupStore, name: string): Promise<string | null> {
  const found = await readable(findGroup(store, name));
  return found === null || found instanceof RecordError ? null : found.entry.group;
}
