/**
 * Which door an error closes, and how long a failed call waits. Pure.
 *
 *   door      errors                                        what happens
 *   --------  --------------------------------------------  -----------------------------------------------------------
 *   group     not_admin, group_not_found, invalid_request   no retry: `rotation.failed`, next try after a doubling time
 *   call      server_error, bad_response, network_error,    tried again with full jitter, `retry.attempts` in all
 *             timeout
 *   instance  throttled, instance_disconnected,             its gate closes, jobs wait and lose no attempt
 *             unauthorized, wrong_instance,
 *             instance_not_found
 *   token     rate_limited                                  its bucket closes until the server counts anew; jobs wait
 */
import { closesGate } from '../budget/gate.ts';
import type { RetryConfig } from '../config/config.ts';
import type { ErrorCode } from '../ryze/outcome.ts';

export type Door = 'group' | 'call' | 'instance' | 'token';

export function doorOf(code: ErrorCode): Door {
  if (closesGate(code)) return 'instance';
  if (code === 'rate_limited') return 'token';
  return code === 'not_admin' || code === 'group_not_found' || code === 'invalid_request' ? 'group' : 'call';
}

/** Full jitter: anything up to a bound that doubles with every failure. `tries`: calls failed so far, from 1. */
export function retryDelayMs(tries: number, retry: RetryConfig, random: () => number): number {
  const bound = Math.min(retry.baseDelayMs * 2 ** Math.min(tries - 1, 30), retry.maxDelayMs);
  return Math.round(random() * bound);
}
