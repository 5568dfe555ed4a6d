/**
 * What each error code means: the one table of scope, pause, retry and advice. Pure.
 *
 *   scope     the failure is evidence against              what happens
 *   --------  -------------------------------------------  ------------------------------------------------------------
 *   group     the group; three groups in a row: instance   no retry: `rotation.failed`, next try after a doubling time
 *   call      nothing; three groups for 5 s: the instance  retried with full jitter, up to `retry.attempts` calls
 *   instance  the instance, until another group's call     its gate closes; its jobs wait and lose no try
 *             of the same kind works
 *   token     the token                                    its bucket closes until the server's counter resets; jobs wait
 *
 * Whether a failure is the group's or the instance's is judged in `budget/judge.lua`.
 */
import type { ErrorCode } from '../contract/errorCodes.ts';
import type { Failure } from './outcome.ts';

export type Scope = 'group' | 'call' | 'instance' | 'token';

interface Pause {
  /** Doubles with every failed probe. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** The call whose success shows that the reason is over. A read that works proves nothing about throttled resets. */
  readonly provenBy: 'read' | 'reset';
}

interface Policy {
  readonly scope: Scope;
  /** How long the instance is paused if the failure is the instance's. null if it never is. */
  readonly pause: Pause | null;
  /** Whether to call again if the failure is not the instance's. */
  readonly retried: boolean;
  /** A new token may end it, so the token is read again before anything else. */
  readonly blamesToken?: true;
  /** No edit of the file or the token can end it, so an edit does not end its pause either. */
  readonly outlastsEdits?: true;
  /** What a person can do. */
  readonly advice: string;
}

const trouble: Pause = { firstMs: 30_000, maxMs: 5 * 60_000, provenBy: 'read' };
/** Most outages end without help: the pause is short, so that work resumes within a minute. */
const outage: Pause = { firstMs: 10_000, maxMs: 60_000, provenBy: 'read' };
/** WhatsApp asks the phone to slow down: wait for minutes, not seconds. */
const throttling: Pause = { firstMs: 60_000, maxMs: 30 * 60_000, provenBy: 'reset' };

const ofGroup = { scope: 'group', pause: trouble, retried: false } as const;
const ofCall = { scope: 'call', pause: outage, retried: true } as const;
const ofInstance = { scope: 'instance', pause: trouble, retried: false } as const;

export const policies: Readonly<Record<ErrorCode, Policy>> = {
  not_admin: { ...ofGroup, advice: "make its instance's phone an admin of the group, then rotate it" },
  group_not_found: { ...ofGroup, advice: "add its instance's phone to the group, or correct the group's identifier" },
  instance_not_found: { ...ofInstance, advice: 'correct its name in the file: RyzeAPI has no such instance' },
  unauthorized: { ...ofInstance, blamesToken: true, advice: 'give it a token that RyzeAPI accepts' },
  wrong_instance: { ...ofInstance, advice: 'use its own token: this one belongs to another instance' },
  instance_disconnected: {
    ...ofInstance,
    outlastsEdits: true,
    advice: 'connect its phone to WhatsApp in RyzeAPI',
  },
  throttled: {
    ...ofInstance,
    pause: throttling,
    outlastsEdits: true,
    advice: 'WhatsApp asks it to slow down; if this happens again, set "pace"',
  },
  rate_limited: {
    scope: 'token',
    pause: null,
    retried: false,
    advice: 'others use the same token; if this happens again, lower "rateLimit.max"',
  },
  invalid_request: { ...ofGroup, advice: 'correct its entry in the file as the message says' },
  server_error: { ...ofCall, advice: 'wait for RyzeAPI to recover; work then resumes automatically' },
  bad_response: { ...ofCall, advice: 'check "api.baseUrl" and proxies: the answer is not from RyzeAPI' },
  network_error: { ...ofCall, advice: 'check the network and "api.baseUrl": RyzeAPI is unreachable' },
  timeout: { ...ofCall, advice: 'wait for RyzeAPI to answer in time; work then resumes automatically' },
};

/**
 * The reason for which a failure of this code pauses an instance. `suspected`: several of its groups failed in a row, each
 * as if by its own fault.
 */
export function pauseReasonOf(code: ErrorCode): ErrorCode | 'suspected' {
  return policies[code].scope === 'group' ? 'suspected' : code;
}

/** Failures with the same cause count together, whatever their codes. */
export function causeOf(code: ErrorCode): string {
  return policies[code].scope === 'call' ? 'call' : pauseReasonOf(code);
}

/** `reason`: of a pause, as Redis holds it. Empty if there is nothing to do. */
export function adviceFor(reason: string): string {
  if (reason === 'suspected')
    return 'wait: several groups failed in a row, and each is tried once more to find the cause';
  return policyOf(reason)?.advice ?? '';
}

/** What went wrong, and what a person can do about it. */
export function failureText({ code, message }: Failure): string {
  return `${message} (${code}): ${policies[code].advice}`;
}

/** Whether a new file or token may have ended what the instance is paused for. */
export function mayEndByEdit(reason: string): boolean {
  return policyOf(reason)?.outlastsEdits !== true;
}

function policyOf(reason: string): Policy | null {
  return Object.hasOwn(policies, reason) ? policies[reason as ErrorCode] : null;
}
