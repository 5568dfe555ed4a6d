/**
 * BullMQ on Redis's clock. BullMQ hands its scripts the time of the machine that calls them: a worker whose clock is ten
 * minutes ahead delays a job by ten minutes more for all others, takes up their delayed jobs ten minutes early, and moves
 * job schedulers on by as much. Here every such time is Redis's, whatever the machine's clock says.
 *
 * Where a script has the time among its arguments depends on BullMQ's version, which is pinned; the test beside this
 * fails if it moves.
 */
import { type BackendFactory, createRedisBackend, type RedisQueueBackend } from 'bullmq';
import type { RedisClock } from '../redis/clock.ts';

/** Place of the time among the arguments of each script that moves or delays jobs by it: its keys, then those before it. */
const timeAt: Readonly<Record<string, number>> = {
  moveToActive: 11 + 1,
  moveToDelayed: 11 + 1,
  moveToFinished: 14 + 1,
  retryJob: 11 + 1,
  moveStalledJobsToWait: 9 + 2,
  changeDelay: 4 + 1,
  addJobScheduler: 11 + 6,
  updateJobScheduler: 12 + 4,
};
/** Scripts that may take up the next job reply with `[job, id, limit, when the next delayed job is due]`. */
const dueAt = 3;

/** For the last argument of BullMQ's `Queue` and `Worker`. */
export function onRedisTime(clock: RedisClock): BackendFactory<RedisQueueBackend> {
  const toLocal = (ms: number) => ms - clock.now() + Date.now();
  return (name, opts, connections) => {
    const backend = createRedisBackend(name, opts, connections);
    const execCommand = backend.execCommand.bind(backend);
    const waitForJob = backend.waitForJob.bind(backend);
    return Object.assign(backend, {
      async execCommand(...[client, command, args]: Parameters<typeof execCommand>) {
        const place = timeAt[command];
        if (place === undefined) return await execCommand(client, command, args);
        const reply: unknown = await execCommand(client, command, args.with(place, clock.now()));
        if (!Array.isArray(reply) || !(Number(reply[dueAt]) > 0)) return reply;
        return reply.with(dueAt, toLocal(Number(reply[dueAt])));
      },
      /** The score of what it waits for is 0, or when the next delayed job is due. */
      async waitForJob(timeout: number) {
        const marker = await waitForJob(timeout);
        return marker === null || marker.score <= 0 ? marker : { ...marker, score: toLocal(marker.score) };
      },
    });
  };
}
