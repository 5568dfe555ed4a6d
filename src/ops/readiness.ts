/** Whether this process does its work, judged by what really happened lately. Pure. */

/** What a process knows of itself. Ages in milliseconds; null: it never happened. */
export interface Health {
  readonly stopping: boolean;
  /** Since Redis last took a write of this process. */
  readonly redisWriteAgeMs: number | null;
  /** Since any process last finished a tick of the planner. */
  readonly tickAgeMs: number | null;
  /** Instances whose jobs wait, though their gate is open, and none was taken here for a minute. */
  readonly stuck: readonly string[];
  /** The file was edited and is broken: the last good one is in force. */
  readonly configBroken: boolean;
  /** Queues that somebody has paused. */
  readonly paused: readonly string[];
  /** Why Redis cannot be worked with now: the code of the reply by which it refuses commands, or why it is not reachable. */
  readonly redisTrouble: string | null;
}

/** Each a reason not to be ready; stable, for alerts and scripts. */
export const readinessReasons = ['stopping', 'redis', 'ticks', 'jobs'] as const;
export type Reason = (typeof readinessReasons)[number];

export type Detail = 'config_broken' | 'queue_paused';

export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly Reason[];
  /** What is wrong and no reason to send work elsewhere. */
  readonly details: readonly Detail[];
  /** The queues that `queue_paused` stands for. */
  readonly paused: readonly string[];
  /** Why Redis cannot be worked with now, such as `NOREPLICAS` or `connection refused`, where that is known. */
  readonly redis?: string;
}

/** Redis that takes no write for so long cannot be worked with, whether or not it says why. */
const redisLateMs = 10_000;
/** Three ticks: by then the watchdog has set up the planner again. */
const ticksLateMs = 20_000;

export function judge(health: Health): Readiness {
  const { stopping, redisWriteAgeMs, tickAgeMs, stuck, configBroken, paused, redisTrouble } = health;
  const reasons: Reason[] = [];
  if (stopping) reasons.push('stopping');
  const isLate = redisWriteAgeMs === null || redisWriteAgeMs > redisLateMs;
  if (isLate || redisTrouble !== null) reasons.push('redis');
  // Without Redis nobody knows of ticks and jobs.
  else if (tickAgeMs === null || tickAgeMs > ticksLateMs) reasons.push('ticks');
  if (stuck.length > 0) reasons.push('jobs');
  const details: Detail[] = [];
  if (configBroken) details.push('config_broken');
  if (paused.length > 0) details.push('queue_paused');
  const redis = redisTrouble === null ? {} : { redis: redisTrouble };
  return { ready: reasons.length === 0, reasons, details, paused, ...redis };
}
