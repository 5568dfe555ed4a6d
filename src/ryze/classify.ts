/**
 * Turns what came back of a call into one of the contract's error codes, once and for all. Pure.
 *
 * Only the documented refusals are refusals (`refusals`): they say that nothing has changed. Whatever else comes back
 * after sending is uncertain, and the link is read back. Proxies, wrappers and WhatsApp itself have reported refusals, and
 * effects, under any status and in any words.
 *
 *   answer                                             code                    sent     ended
 *   -------------------------------------------------  ----------------------  -------  --------------------------------
 *   never left: refused, DNS, TLS, connect timed out   network_error, timeout  no       -
 *   nothing came back, or the connection broke         timeout, network_error  unknown  no
 *   a documented refusal, in the envelope              as `refusals` says      yes      yes
 *   429 with the limit's text, or nothing remaining    rate_limited            yes
 *   429 otherwise                                      throttled               yes
 *   501                                                server_error, final     yes
 *   text of WhatsApp's throttling under any status     throttled               unknown  yes
 *   428: the session is gone                           instance_disconnected   unknown  no
 *   any status, text about time or connection          server_error            unknown  no
 *   401, 403, 404, other 4xx, in the envelope          as their kind says      unknown  yes
 *   408, 409, 425, 499                                 server_error            unknown  no
 *   4xx, not in the envelope                           bad_response            unknown  no: a proxy's page, not the API
 *   5xx                                                server_error            unknown  only in the envelope
 *   3xx, 2xx that is unusable or contradicts itself    bad_response            unknown  no
 *
 * `ended` is true only where the API's own envelope was read, and speaks neither of time nor of a connection: the call is
 * over on its side, whatever it did.
 */

import type { ErrorCode } from '../contract/errorCodes.ts';
import { errorEnvelope } from './answers.ts';
import type { CallFailure, Sent } from './outcome.ts';
import { fitToRepeat } from './redact.ts';

interface Refusal {
  readonly statuses: readonly number[];
  readonly text: RegExp;
  readonly code: ErrorCode;
}

/** As the vendor documents them. */
const refusals: readonly Refusal[] = [
  { statuses: [400], text: /^identifier is required/i, code: 'invalid_request' },
  { statuses: [400, 503], text: /^instance is not connected/i, code: 'instance_disconnected' },
  {
    statuses: [401],
    text: /^(missing token|invalid (instance |account )?token|unauthenticated)/i,
    code: 'unauthorized',
  },
  { statuses: [403], text: /token does not ma/i, code: 'wrong_instance' },
  { statuses: [403], text: /\bmust be admin/i, code: 'not_admin' },
  { statuses: [404], text: /^instance not found/i, code: 'instance_not_found' },
  { statuses: [404], text: /^group not found/i, code: 'group_not_found' },
];

const limited = /^rate limit exceeded/i;
const throttling = /rate-?overlimit|too many (requests|attempts)|429: rate|slow down/i;
const disconnected = /instance is not connected/i;
/** A call that ended with these words may still be under way behind the one who says so. */
const ofTimeOrConnection =
  /time[d-]?\s?-?out|timeout|deadline|connection|disconnect|websocket|socket|closed|context canceled/i;
/** Statuses that say that somebody did not wait for the end. */
const unfinished: readonly number[] = [408, 409, 425, 499];

/** An answer that was read to its end. `remaining`: from its headers, where it told. */
export interface FailedAnswer {
  readonly status: number;
  readonly body: string;
  readonly remaining: number | null;
  /** What the request carried that its answer may repeat, and nobody else should: the token, an invite code. */
  readonly secrets?: readonly string[];
}

interface Verdict {
  readonly code: ErrorCode;
  readonly sent: Sent;
  readonly ended: boolean;
  readonly final?: boolean;
}

export function classifyAnswer({ status, body, remaining, secrets }: FailedAnswer): CallFailure {
  const envelopeText = messageOf(body);
  const verdict =
    envelopeText === null ? judgeForeign(status, body, remaining) : judgeEnvelope(status, envelopeText, remaining);
  const message =
    envelopeText === null
      ? `the answer (HTTP ${status}) is not RyzeAPI's: ${shape(body)}`
      : fitToRepeat(envelopeText, secrets);
  return { ok: false, message, httpStatus: status, ...verdict };
}

const refused = (code: ErrorCode): Verdict => ({ code, sent: 'yes', ended: true });
const unknown = (code: ErrorCode, ended: boolean): Verdict => ({ code, sent: 'unknown', ended });

/** What the API itself says. */
function judgeEnvelope(status: number, text: string, remaining: number | null): Verdict {
  if (status === 429) return refused(limited.test(text) || remaining === 0 ? 'rate_limited' : 'throttled');
  if (status === 501) return { ...refused('server_error'), final: true };
  const refusal = refusals.find((one) => one.statuses.includes(status) && one.text.test(text));
  if (refusal !== undefined) return refused(refusal.code);

  if (throttling.test(text)) return unknown('throttled', true);
  if (status === 428 || disconnected.test(text)) return unknown('instance_disconnected', false);
  if (unfinished.includes(status) || ofTimeOrConnection.test(text)) return unknown('server_error', false);
  if (status >= 500) return unknown('server_error', true);
  if (status === 401 || status === 403) return unknown('unauthorized', true);
  if (status === 404) return unknown('group_not_found', true);
  return unknown(status >= 400 ? 'invalid_request' : 'bad_response', true);
}

/** What somebody else says, such as a proxy. */
function judgeForeign(status: number, body: string, remaining: number | null): Verdict {
  if (status === 429) {
    return { ...refused(limited.test(body) || remaining === 0 ? 'rate_limited' : 'throttled'), ended: false };
  }
  if (status === 501) return { ...refused('server_error'), ended: false, final: true };
  if (status === 428) return unknown('instance_disconnected', false);
  if (status >= 500 || unfinished.includes(status)) return unknown('server_error', false);
  return unknown('bad_response', false);
}

/** A 200, or another status of success, that does not say what it should. */
export function contradiction(status: number, message: string): CallFailure {
  return { ok: false, code: 'bad_response', message, httpStatus: status, sent: 'unknown', ended: false };
}

/** No answer at all. `left`: the request was given to a connection, so it may have arrived. */
export function classifySilence(error: unknown, left: boolean): CallFailure {
  const { code, message } = error as { code?: string; message?: string };
  const sent = left ? 'unknown' : 'no';
  if (code === 'UND_ERR_CONNECT_TIMEOUT') {
    return { ok: false, code: 'timeout', message: 'no connection in time', httpStatus: null, sent: 'no', ended: false };
  }
  const what = left ? 'the connection broke before an answer came' : 'cannot connect';
  const why = code ?? fitToRepeat(message ?? 'unknown error');
  return { ok: false, code: 'network_error', message: `${what} (${why})`, httpStatus: null, sent, ended: false };
}

function messageOf(body: string): string | null {
  try {
    const parsed = errorEnvelope.safeParse(JSON.parse(body));
    return parsed.success ? parsed.data.error.message : null;
  } catch {
    return null;
  }
}

function shape(body: string): string {
  if (body.trim() === '') return 'it is empty';
  return /^\s*</.test(body) ? 'it is a web page' : 'it is not its error envelope';
}
