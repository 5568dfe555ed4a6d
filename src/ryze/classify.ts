/**
 * Turns what came back of a call into one of the contract's error codes, once and for all. Pure.
 *
 *   answer                                             code                    sent     ended
 *   -------------------------------------------------  ----------------------  -------  --------------------------------
 *   never left: refused, DNS, TLS, connect timed out   network_error, timeout  no       -
 *   nothing came back, or the connection broke         timeout, network_error  unknown  no
 *   any status, text of WhatsApp's throttling          throttled               yes; unknown under 5xx
 *   400, 503 "Instance is not connected…"              instance_disconnected   yes      yes
 *   401                                                unauthorized            yes
 *   403 "Instance token does not ma…"                  wrong_instance          yes
 *   403 "…must be admin"                               not_admin               yes
 *   403 otherwise, in the envelope                     unauthorized            yes      the token may not do this
 *   404 "Instance not found"                           instance_not_found      yes
 *   404 otherwise, in the envelope                     group_not_found         yes
 *   429 with the limit's text, or nothing remaining    rate_limited            yes
 *   429 otherwise                                      throttled               yes
 *   400 and other 4xx, in the envelope                 invalid_request         yes
 *   403, 404 and other 4xx, not in the envelope        bad_response            unknown  no: a proxy's page, not the API
 *   5xx                                                server_error            unknown  only in the envelope
 *   3xx, 200 that is unreadable or contradicts itself  bad_response            unknown  no
 *   200 with `success: false`                          as its text says        as above
 *
 * `ended` is true only where the API's own envelope was read: the call is over on its side, whatever it did.
 */
import { errorEnvelope } from './answers.ts';
import type { CallFailure, ErrorCode, Sent } from './outcome.ts';
import { fitToRepeat } from './text.ts';

const throttling = /rate-?overlimit|too many (requests|attempts)|429: rate|slow down/i;
const disconnected = /instance is not connected/i;
const limited = /^rate limit exceeded/i;

/** An answer that was read to its end. `remaining`: from its headers, where it told. */
export interface FailedAnswer {
  readonly status: number;
  readonly body: string;
  readonly remaining: number | null;
  /** What the request carried that its answer may repeat, and nobody else should: the token, an invite code. */
  readonly secrets?: readonly string[];
}

export function classifyAnswer({ status, body, remaining, secrets }: FailedAnswer): CallFailure {
  const said = messageOf(body);
  const text = said ?? body.slice(0, 2_000);
  const { code, sent } = judge(status, text, said !== null, remaining);
  const message =
    said === null ? `the answer (HTTP ${status}) is not RyzeAPI's: ${shape(body)}` : fitToRepeat(said, secrets);
  return { ok: false, code, message, httpStatus: status, sent, ended: said !== null };
}

function judge(
  status: number,
  text: string,
  inEnvelope: boolean,
  remaining: number | null,
): { code: ErrorCode; sent: Sent } {
  const refused = (code: ErrorCode) => ({ code, sent: 'yes' as const });
  const unclear = (code: ErrorCode) => ({ code, sent: 'unknown' as const });

  if (status === 429) return refused(limited.test(text) || remaining === 0 ? 'rate_limited' : 'throttled');
  if (inEnvelope && throttling.test(text)) return status >= 500 ? unclear('throttled') : refused('throttled');
  if (inEnvelope && disconnected.test(text)) return refused('instance_disconnected');
  if (status === 401) return refused('unauthorized');
  if (status >= 500) return unclear('server_error');
  if (!inEnvelope) return unclear('bad_response');
  if (/token does not ma/i.test(text)) return refused('wrong_instance');
  if (/must be admin/i.test(text)) return refused('not_admin');
  if (/instance not found/i.test(text)) return refused('instance_not_found');
  if (status === 403) return refused('unauthorized');
  if (status === 404) return refused('group_not_found');
  if (status >= 400) return refused('invalid_request');
  if (/group not found|not a member/i.test(text)) return refused('group_not_found');
  return unclear('bad_response');
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
