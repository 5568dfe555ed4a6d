/**
 * How a call to RyzeAPI ended: the one vocabulary for it, from the HTTP client to the group's record. The budget
 * settles the call's slot by it, `rotation/transition.ts` changes the record by it, and `rotation/rotate.ts` decides by
 * it how the job continues. `classify.ts` reads HTTP statuses and message texts; nothing else does.
 */
import type { ErrorCode } from '../contract/errorCodes.ts';

export type CallOutcome =
  /** The link was replaced by the one with this code. */
  | { readonly kind: 'reset'; readonly jid: string; readonly inviteCode: string; readonly rateLimit?: RateLimit | null }
  /**
   * The link was read. `inviteCode`: null if the server shows none to this phone, which does not mean that it changed.
   */
  | {
      readonly kind: 'read';
      readonly jid: string;
      readonly inviteCode: string | null;
      readonly rateLimit?: RateLimit | null;
    }
  | CallFailure;

/** Why a call or a job failed, as events and logs report it. */
export interface Failure {
  readonly code: ErrorCode;
  /** One line for people. Contains no token, link or code. */
  readonly message: string;
  readonly httpStatus: number | null;
}

/** As a job that failed for it gives its reason. */
export function reasonOf({ code, message }: Failure): string {
  return `${code}: ${message}`;
}

export interface CallFailure extends Failure {
  /**
   * `notSent`: the request never left. `rejected`: the API refused it, so nothing changed. `unknown`: it may have taken
   * effect.
   */
  readonly kind: 'notSent' | 'rejected' | 'unknown';
  /**
   * Whether the API itself has said that the call is over. Otherwise (silence, a cut connection, a proxy's page) an
   * `unknown` call may still take effect up to `settleTime` after it was sent.
   */
  readonly over: boolean;
  /** Another call would fail in the same way, so none is made. */
  readonly final?: boolean;
  /** The answer's `Retry-After`. */
  readonly retryAfterMs?: number | null;
  readonly rateLimit?: RateLimit | null;
}

/** The server's own count of the token's requests, from the `X-RateLimit-*` headers of one answer. */
export interface RateLimit {
  readonly limit: number;
  readonly remaining: number;
  /** Until the server's counter resets; never negative. */
  readonly resetInMs: number;
}

export function isFailure(outcome: { readonly kind: string }): outcome is CallFailure {
  return outcome.kind === 'notSent' || outcome.kind === 'rejected' || outcome.kind === 'unknown';
}
