/** How long BullMQ holds locks, and how long it keeps jobs that have ended. */

const hour = 3_600;
const day = 24 * hour;

/**
 * The locks of every worker. A killed process's job is taken again once its lock has expired. The group's record says
 * what that job had done, so no number of restarts fails a job.
 */
export const lockOptions = {
  lockDuration: 5_000,
  stalledInterval: 2_000,
  maxStalledCount: 1_000_000,
  runRetryDelay: 1_000,
};

/** Never reached. BullMQ obeys a manual rate limit only on workers that have a limiter. */
export const limiter = { max: 1_000_000_000, duration: 1_000 };

/** One-offs whose producer sets no retention: their results can be read for a day. */
export const requestRetention = {
  removeOnComplete: { age: day, count: 10_000 },
  removeOnFail: { age: 7 * day, count: 10_000 },
};

/** Rotations and reads that the planner releases. BullMQ ignores a job whose id exists, so none may stay. */
export const releasedRetention = { removeOnComplete: true, removeOnFail: true };

/** The planner's ticks. A few failed ones stay for inspection. */
export const tickRetention = { removeOnComplete: true, removeOnFail: { count: 100 } };

/**
 * Events on a results queue. BullMQ retries a failing consumer; `consumeLinks` retries indefinitely. Finished events
 * stay for a while, so that BullMQ recognizes one that is published twice by its id.
 */
export const eventOptions = {
  attempts: 10,
  backoff: { type: 'exponential', delay: 1_000, jitter: 0.5 },
  removeOnComplete: { age: 7 * day, count: 10_000 },
  removeOnFail: { age: 30 * day, count: 10_000 },
} as const;
