/** Whether this process is ready: a pure function of its recent successes. */

/** What a process knows about itself. An age is null if the event never happened. */
export interface Health {
  readonly stopping: boolean;
  /** Time since Redis last accepted a write from this process. */
  readonly redisWriteAgeMs: number | null;
  /** Time since the planner last ran, in any process. */
  readonly tickAgeMs: number | null;
  /** Instances that are not paused, but have had waiting jobs for a minute of which this process took none. */
  readonly stuck: readonly string[];
  /** The edited file is invalid, and the last valid one is in force. */
  readonly configBroken: boolean;
  /** Paused queues. */
  readonly paused: readonly string[];
  /** The configuration file in force: its hash, and since when, ms since 1970. */
  readonly config: { readonly hash: string; readonly since: number };
  /** Why Redis cannot be used: the code of its refusal, such as `NOREPLICAS`, or why it is unreachable. */
  readonly redisTrouble: string | null;
}

/** Stable, since alerts and scripts use them. */
export const readinessReasons = ['stopping', 'redis', 'ticks', 'jobs'] as const;
export type Reason = (typeof readinessReasons)[number];

export type Detail = 'config_broken' | 'queue_paused';

export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly Reason[];
  /** Problems that do not make the process unready. */
  readonly details: readonly Detail[];
  /** The queues that `queue_paused` refers to. */
  readonly paused: readonly string[];
  /** Why Redis cannot be used, if that is known. */
  readonly redis?: string;
}

const redisLateMs = 10_000;
/** By then the watchdog has recreated a planner that stopped. */
const ticksLateMs = 20_000;

export function judge(health: Health): Readiness {
  const { stopping, redisWriteAgeMs, tickAgeMs, stuck, configBroken, paused, redisTrouble } = health;
  const reasons: Reason[] = [];
  if (stopping) reasons.push('stopping');
  const isLate = redisWriteAgeMs === null || redisWriteAgeMs > redisLateMs;
  if (isLate || redisTrouble !== null) reasons.push('redis');
  // Without Redis, nothing is known about ticks.
  else if (tickAgeMs === null || tickAgeMs > ticksLateMs) reasons.push('ticks');
  if (stuck.length > 0) reasons.push('jobs');
  const details: Detail[] = [];
  if (configBroken) details.push('config_broken');
  if (paused.length > 0) details.push('queue_paused');
  const redis = redisTrouble === null ? {} : { redis: redisTrouble };
  return { ready: reasons.length === 0, reasons, details, paused, ...redis };
}
