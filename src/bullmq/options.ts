/**
 * How this program's workers hold their jobs. A killed process's job is taken up again once its lock has run out and a
 * check has seen that; what it was doing is told by the group's record, so no number of such restarts fails a job.
 */
export const lockOptions = {
  lockDuration: 5_000,
  stalledInterval: 2_000,
  maxStalledCount: 1_000_000,
  runRetryDelay: 1_000,
};

/** BullMQ heeds a manual rate limit only on workers that have a limiter: this one never limits by itself. */
export const limiter = { max: 1_000_000_000, duration: 1_000 };
