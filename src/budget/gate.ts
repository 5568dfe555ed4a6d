/**
 * An instance's gate, a circuit breaker: closed while its phone, its connection or its token is in trouble, so that its
 * jobs wait instead of failing one by one. Guarantees:
 *
 * - a failure that may be the group's or the instance's is the group's if another group's call of the same kind works
 *   afterwards, and the instance's if that fails too (`judge.lua`);
 * - a gate whose pause is over lets one call at a time through, and the groups that closed it yield (`acquire.lua`);
 * - it opens only by a call that started after it closed and shows that the reason is over (`settle.lua`). The group that
 *   closed it is then known to fail by its own fault, and pauses nothing again.
 *
 * Not done here: what an error code means (`ryze/policy.ts`), and what becomes of the job (`rotation/rotate.ts`).
 */
import type { ErrorCode } from '../contract/errorCodes.ts';
import type { Database } from '../redis/database.ts';
import { loadScript, runScript } from '../redis/scripts.ts';
import { causeOf, pauseReasonOf, policies, type Scope } from '../ryze/policy.ts';

const judgeLua = loadScript('judge', import.meta.url);
const openLua = loadScript('openGate', import.meta.url);
const rewindLua = loadScript('rewindGate', import.meta.url);

/** A call whose failure may be its instance's. */
export interface FailedCall {
  /** The name of the group's record. */
  readonly group: string;
  readonly call: 'reset' | 'read';
  readonly code: ErrorCode;
  /** By Redis's clock. */
  readonly startedAt: number;
  /** Id of the slot that was taken for it. */
  readonly slot: string;
}

export interface Judgement {
  /**
   * `group`: the group's own failure, as was shown before. `paused`: perhaps the instance's, whose gate is closed by now.
   * `unproven`: either, and no reason to pause the instance yet.
   */
  readonly verdict: 'group' | 'paused' | 'unproven';
  /** What became of the gate. `extended`: a probe failed. */
  readonly change: 'closed' | 'extended' | null;
  readonly gate: Gate;
  /** Groups that failed with this cause one after another, without a call that worked. */
  readonly inRow: number;
}

export interface Gate {
  readonly reason: string;
  /** Until a call is let through. 0: the next call is. */
  readonly opensInMs: number;
  /** Closings and failed probes in a row. */
  readonly streak: number;
}

/** How many groups must fail in a row, and for how long, before their failures are the instance's. */
const rows: Readonly<Record<Exclude<Scope, 'token'>, { readonly groups: number; readonly lastsMs: number }>> = {
  instance: { groups: 1, lastsMs: 0 },
  group: { groups: 3, lastsMs: 0 },
  // Calls that fail at random fail in clusters, but never for so long without one that works.
  call: { groups: 3, lastsMs: 5_000 },
};
/** How long failures of `call` scope must last before they pause an instance. */
export const outageMs = rows.call.lastsMs;
/** Failures further apart are not in a row. */
const rowMs = 10 * 60_000;
/** Long enough for a failing group to fail again: it is tried at least once a day. */
export const culpritMs = 48 * 3_600_000;

/** Judges whether a failure is the group's or the instance's, and closes the gate if it may be the instance's. */
export async function judgeFailure(
  { redis, keys }: Database,
  instance: string,
  { group, call, code, startedAt, slot }: FailedCall,
): Promise<Judgement> {
  const { scope, pause } = policies[code];
  if (scope === 'token' || pause === null) throw new Error(`${code} says nothing of an instance`);
  const reason = pauseReasonOf(code);
  const [verdict, change, opensInMs, streak, inRow] = (await runScript(
    redis,
    judgeLua,
    [
      keys.gate(instance),
      keys.row(instance, 'reset'),
      keys.row(instance, 'read'),
      keys.blamed(instance),
      keys.culprits(instance),
      keys.due(instance),
      keys.gates,
    ],
    [
      group,
      call,
      scope,
      causeOf(code),
      reason,
      pause.firstMs,
      pause.maxMs,
      pause.provenBy,
      startedAt,
      slot,
      rows[scope].groups,
      rows[scope].lastsMs,
      rowMs,
      culpritMs,
      instance,
    ],
  )) as [Judgement['verdict'], 'closed' | 'extended' | '', number, number, number];
  return { verdict, change: change === '' ? null : change, gate: { reason, opensInMs, streak }, inRow };
}

/**
 * What the gate knows of a group's failures like this one. `isBlamed`: its failure closed the gate, or was shown to
 * be its own since. `isTroubleOfOthers`: the gate was closed for this cause by other groups.
 */
export async function readBlame(
  { redis, keys }: Database,
  instance: string,
  group: string,
  code: ErrorCode,
): Promise<{ readonly isBlamed: boolean; readonly isTroubleOfOthers: boolean }> {
  const cause = causeOf(code);
  const [gate, blamed, culprit] = await Promise.all([
    redis.hget(keys.gate(instance), 'cause'),
    redis.hexists(keys.blamed(instance), group),
    redis.hget(keys.culprits(instance), group),
  ]);
  const isBlamed = gate === cause && blamed === 1;
  return {
    isBlamed: isBlamed || culprit?.startsWith(`${cause} `) === true,
    isTroubleOfOthers: gate === cause && !isBlamed,
  };
}

export interface ClosedGate extends Gate {
  /** Time since the first pause in a row began. Null if an older version closed the gate. */
  readonly closedForMs: number | null;
}

/** The gate's current state. Null while it is open. */
export async function readGate({ redis, keys }: Database, instance: string, nowMs: number): Promise<ClosedGate | null> {
  const [reason, until, streak, since] = await redis.hmget(keys.gate(instance), 'reason', 'until', 'streak', 'since');
  if (!reason) return null;
  const closedForMs = since ? Math.max(nowMs - Number(since), 0) : null;
  return { reason, opensInMs: Math.max(Number(until) - nowMs, 0), streak: Number(streak), closedForMs };
}

/**
 * Of a gate that waits for its probe: the groups that are not to be the probe, and whether a read that works would open it
 * and none is in progress.
 */
export async function readProbing(
  { redis, keys }: Database,
  instance: string,
  nowMs: number,
): Promise<{ readonly blamed: ReadonlySet<string>; readonly takesRead: boolean }> {
  const [blamed, [needs, probeUntil]] = await Promise.all([
    redis.hkeys(keys.blamed(instance)),
    redis.hmget(keys.gate(instance), 'needs', 'probeUntil'),
  ]);
  return { blamed: new Set(blamed), takesRead: needs === 'read' && Number(probeUntil ?? 0) <= nowMs };
}

/** Opens the gate at once, after a person has fixed the reason (a new token, say). Returns that reason, or null if it was open. */
export async function openGate({ redis, keys }: Database, instance: string): Promise<string | null> {
  const reason = (await runScript(
    redis,
    openLua,
    [keys.gate(instance), keys.blamed(instance), keys.culprits(instance)],
    [],
  )) as string;
  return reason === '' ? null : reason;
}

/** Keeps a pause from getting longer when Redis's clock is set back. */
export async function rewindGate({ redis, keys }: Database, instance: string, backMs: number): Promise<void> {
  await runScript(
    redis,
    rewindLua,
    [keys.gate(instance), keys.row(instance, 'reset'), keys.row(instance, 'read')],
    [backMs],
  );
}
