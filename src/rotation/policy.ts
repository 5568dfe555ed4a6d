/**
 * What each error code means: the one table of scope, pause, retry and advice. Pure.
 *
 *   scope     the failure is evidence against              what happens
 *   --------  -------------------------------------------  ------------------------------------------------------------
 *   group     the group; three groups in a row: instance   no retry: `rotation.failed`, next try after a doubling time
 *   call      nobody; three groups for 5 s: the instance   tried again with full jitter, `retry.attempts` in all
 *   instance  the instance, until another group's call     its gate closes, jobs wait and lose no try
 *             of the same kind works
 *   token     the token                                    its bucket closes until the server's counter resets; jobs wait
 *
 * Which of group and instance a failure belongs to is judged in `budget/judge.lua`.
 */
import type { RetryConfig } from '../config/config.ts';
import type { ErrorCode } from '../contract/errorCodes.ts';

export type Scope = 'group' | 'call' | 'instance' | 'token';

export interface Pause {
  /** Doubles with every failed probe. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** What shows that the reason is over. A read that works proves nothing about resets that WhatsApp throttles. */
  readonly provenBy: 'read' | 'reset';
}

interface Policy {
  readonly scope: Scope;
  /** For how long its instance is paused, once it is the instance's failure; null: it never is. */
  readonly pause: Pause | null;
  /** Whether another call is worth it when the failure is not the instance's. */
  readonly retried: boolean;
  /** What a person can do. */
  readonly advice: string;
}

const trouble: Pause = { firstMs: 30_000, maxMs: 5 * 60_000, provenBy: 'read' };
/** Settles by itself most of the time: short, so that work resumes within a minute. */
const outage: Pause = { firstMs: 10_000, maxMs: 60_000, provenBy: 'read' };
/** WhatsApp tells the phone to slow down: stay away for minutes, not seconds. */
const throttling: Pause = { firstMs: 60_000, maxMs: 30 * 60_000, provenBy: 'reset' };

const ofGroup = { scope: 'group', pause: trouble, retried: false } as const;
const ofCall = { scope: 'call', pause: outage, retried: true } as const;
const ofInstance = { scope: 'instance', pause: trouble, retried: false } as const;

export const policies: Readonly<Record<ErrorCode, Policy>> = {
  not_admin: { ...ofGroup, advice: 'make its phone an admin of the group, then rotate it' },
  group_not_found: { ...ofGroup, advice: 'let its phone join the group, or name the group by its JID' },
  instance_not_found: { ...ofInstance, advice: 'RyzeAPI knows no instance of that name' },
  unauthorized: { ...ofInstance, advice: 'give it a token that RyzeAPI accepts' },
  wrong_instance: { ...ofInstance, advice: 'its token belongs to another instance' },
  instance_disconnected: { ...ofInstance, advice: 'connect its phone to WhatsApp in RyzeAPI' },
  throttled: {
    ...ofInstance,
    pause: throttling,
    advice: 'WhatsApp asks it to slow down; set "pace" if that comes again',
  },
  rate_limited: {
    scope: 'token',
    pause: null,
    retried: false,
    advice: 'others use the same token; lower "rateLimit.max" if that comes again',
  },
  invalid_request: { ...ofGroup, advice: 'correct its entry in the file, as the message says' },
  server_error: { ...ofCall, advice: 'RyzeAPI is in trouble; work resumes by itself' },
  bad_response: { ...ofCall, advice: 'something between here and RyzeAPI answers; check "api.baseUrl" and proxies' },
  network_error: { ...ofCall, advice: 'RyzeAPI cannot be reached; check the network and "api.baseUrl"' },
  timeout: { ...ofCall, advice: 'RyzeAPI does not answer in time; work resumes by itself' },
};

/** Why an instance is paused. `suspected`: several of its groups failed in a row, each as if by its own fault. */
export type PauseReason = ErrorCode | 'suspected';

/** Empty: there is nothing to do. */
export function adviceFor(reason: string): string {
  if (reason === 'suspected') return 'several groups failed in a row; each is tried once more before it is blamed';
  return Object.hasOwn(policies, reason) ? policies[reason as ErrorCode].advice : '';
}

/** Failures with one cause count together, whatever the words. */
export function causeOf(code: ErrorCode): string {
  const { scope } = policies[code];
  if (scope === 'group') return 'suspected';
  return scope === 'call' ? 'call' : code;
}

/** Full jitter: anything up to a bound that doubles with every failure. `tries`: calls failed so far, from 1. */
export function retryDelayMs(tries: number, retry: RetryConfig, random: () => number): number {
  const bound = Math.min(retry.baseDelayMs * 2 ** Math.min(tries - 1, 30), retry.maxDelayMs);
  return Math.round(random() * bound);
}
