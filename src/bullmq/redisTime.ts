/**
 * Runs BullMQ on Redis's clock. BullMQ passes the time of the calling machine to its scripts: a worker whose clock is ten
 * minutes ahead would delay jobs by ten more minutes for all workers, take their delayed jobs ten minutes early, and move
 * job schedulers by as much. Here every such time is Redis's.
 *
 * The position of the time among a script's arguments depends on BullMQ's version, which is pinned. A test fails if it
 * moves.
 */
import { type BackendFactory, createRedisBackend, type RedisQueueBackend } from 'bullmq';
import type { RedisClock } from '../redis/clock.ts';

/** By script: the position of the time among the arguments, as the number of keys and of arguments up to it. */
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
/** A script that may take the next job replies with `[job, id, limit, time of the next delayed job]`. */
const nextDelayedAt = 3;

/** The last argument of BullMQ's `Queue` and `Worker`. */
export function onRedisTime(clock: RedisClock): BackendFactory<RedisQueueBackend> {
  const toLocal = (ms: number) => ms - clock.now() + Date.now();
  return (name, opts, connections) => {
    const backend = createRedisBackend(name, opts, connections);
    const execCommand = backend.execCommand.bind(backend);
    const waitForJob = backend.waitForJob.bind(backend);
    return Object.assign(backend, {
      async execCommand(...[client, command, args]: Parameters<typeof execCommand>) {
        const position = timeAt[command];
        if (position === undefined) return await execCommand(client, command, args);
        const reply: unknown = await execCommand(client, command, args.with(position, clock.now()));
        if (!Array.isArray(reply) || !(Number(reply[nextDelayedAt]) > 0)) return reply;
        return reply.with(nextDelayedAt, toLocal(Number(reply[nextDelayedAt])));
      },
      /** The marker's score is 0, or the time of the next delayed job. */
      async waitForJob(timeout: number) {
        const marker = await waitForJob(timeout);
        return marker === null || marker.score <= 0 ? marker : { ...marker, score: toLocal(marker.score) };
      },
    });
  };
}
