/**
 * An instance's gate: closed while its number, its connection or its token is in trouble, so that its jobs wait
 * instead of failing one by one. Each closing in a row doubles the time; then one call is let through as a probe
 * (`acquire.lua`), and an answer that shows that the instance works opens the gate (`settle.lua`).
 */
import type { Keys } from '../redis/keys.ts';
import { loadScript, type RedisClient, runScript } from '../redis/scripts.ts';
import type { ErrorCode } from '../ryze/outcome.ts';

const closeLua = loadScript('closeGate', import.meta.url);
const openLua = loadScript('openGate', import.meta.url);

interface Closing {
  readonly firstMs: number;
  readonly mostMs: number;
}

const trouble: Closing = { firstMs: 30_000, mostMs: 5 * 60_000 };
/** WhatsApp tells the number to slow down: stay away for minutes, not seconds. */
const throttling: Closing = { firstMs: 60_000, mostMs: 30 * 60_000 };

/** `suspected`: several of its groups failed in a row (`rotation/suspicion.ts`). */
export type GateReason = ErrorCode | 'suspected';

/** The errors that are the instance's own: every other group of it would fail in the same way. */
const closings: Partial<Record<GateReason, Closing>> = {
  throttled: throttling,
  instance_disconnected: trouble,
  unauthorized: trouble,
  wrong_instance: trouble,
  instance_not_found: trouble,
  suspected: trouble,
};

export function closesGate(code: ErrorCode): boolean {
  return closings[code] !== undefined;
}

export interface Gate {
  readonly reason: string;
  /** Until one call is let through; 0: that call is awaited. */
  readonly opensInMs: number;
  /** Closings in a row. */
  readonly streak: number;
}

/** Closes the gate for an error that `closesGate`, or for suspicion; `closedNow` tells whether it was open before. */
export async function closeGate(
  redis: RedisClient,
  keys: Keys,
  instance: string,
  code: GateReason,
): Promise<Gate & { readonly closedNow: boolean }> {
  const { firstMs, mostMs } = closings[code] ?? trouble;
  const [opensInMs, streak, closedNow] = (await runScript(
    redis,
    closeLua,
    [keys.gate(instance)],
    [code, firstMs, mostMs],
  )) as [number, number, string];
  return { reason: code, opensInMs, streak, closedNow: closedNow === '1' };
}

/** The gate as it stands; null: open. */
export async function readGate(redis: RedisClient, keys: Keys, instance: string, nowMs: number): Promise<Gate | null> {
  const [reason, until, streak] = await redis.hmget(keys.gate(instance), 'reason', 'until', 'streak');
  if (!reason) return null;
  return { reason, opensInMs: Math.max(Number(until) - nowMs, 0), streak: Number(streak) };
}

/**
 * Opens the gate at once: what it was closed for has been put right by a person (a new token, say). Returns what that
 * was; null: it was open.
 */
export async function openGate(redis: RedisClient, keys: Keys, instance: string): Promise<string | null> {
  const reason = (await runScript(redis, openLua, [keys.gate(instance)], [])) as string;
  return reason === '' ? null : reason;
}
