/**
 * How a call to RyzeAPI can end. Every way is a member of one union, classified once, by `classify.ts`; nobody else
 * reads statuses or message texts.
 */
import type { ErrorCode } from '../contract/errorCodes.ts';

/**
 * What is known of a failed call's effect: `no`, it never reached the server; `yes`, it did and was refused, so nothing
 * changed; `unknown`, it may have taken effect.
 */
export type Sent = 'no' | 'yes' | 'unknown';

/** The server's own count of the token's requests, from the `X-RateLimit-*` headers of one answer. */
export interface RateLimitReading {
  readonly limit: number;
  readonly remaining: number;
  /** Until the server's counter resets, by the server's own clock where it told it (`Date`), never negative. */
  readonly resetInMs: number;
}

export interface CallFailure {
  readonly ok: false;
  readonly code: ErrorCode;
  /** For people: names what went wrong. Holds no token, link or code. */
  readonly message: string;
  readonly httpStatus: number | null;
  readonly sent: Sent;
  /**
   * Whether the call is over on the server's side: true when the API answered in its own error envelope, in words that speak neither of time nor of a connection. A call that is
   * not over (silence, a cut connection, a proxy's page) may still take effect up to `settleTime` after it was sent.
   */
  readonly ended: boolean;
  /** Another call would end in the same way, whatever comes of this one: it is not made. */
  readonly final?: boolean;
  /** When the server wants to be asked again (`Retry-After`); absent: it did not say. */
  readonly retryAfterMs?: number;
}

export interface CallSuccess<T> {
  readonly ok: true;
  readonly value: T;
}

/** One call's end, with what its answer told of the rate limit (null: no answer, or no usable headers). */
export type CallOutcome<T> = (CallSuccess<T> | CallFailure) & { readonly rateLimit: RateLimitReading | null };

export interface ResetAnswer {
  readonly jid: string;
  readonly inviteCode: string;
  readonly inviteLink: string;
}

export interface InfoAnswer {
  readonly jid: string;
  /** null when the server shows no link to this number: "not verified", never "changed". */
  readonly inviteCode: string | null;
  readonly inviteLink: string | null;
}
