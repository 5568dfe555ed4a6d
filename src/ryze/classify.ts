/**
 * Classifies every call that brought no usable answer, once. Pure.
 *
 * Only the documented refusals are refusals (`refusals`): they say that nothing has changed. Any other answer leaves the
 * call's effect unknown, and the link is read back. Proxies, wrappers and WhatsApp itself have reported refusals, and
 * effects, under any status and in any words.
 *
 *   answer                                             code                    kind      over
 *   -------------------------------------------------  ----------------------  --------  --------------------------------
 *   never left: refused, DNS, TLS, proxy, timed out    network_error, timeout  notSent   no
 *   nothing came back, or the connection broke         timeout, network_error  unknown   no
 *   a documented refusal, in the envelope              as `refusals` says      rejected  yes
 *   429 with the limit's text, or nothing remaining    rate_limited            rejected  only in the envelope
 *   429 with the text of WhatsApp's throttling         throttled               rejected  only in the envelope
 *   429 otherwise                                      throttled               unknown   only in the envelope
 *   501 that says "not implemented"                    server_error, final     rejected  yes
 *   501 otherwise                                      server_error, final     unknown   only in the envelope
 *   a documented refusal's text under another status   as `refusals` says      unknown   yes
 *   text of WhatsApp's throttling under any status     throttled               unknown   yes
 *   428: the session is gone                           instance_disconnected   unknown   no
 *   any status, text about time or connection          server_error; with 429  unknown   no
 *   (also if it starts like a documented refusal)      as above
 *   401, 403, 404, other 4xx, in the envelope          as their kind says      unknown   yes
 *   408, 409, 425, 499                                 server_error            unknown   no
 *   4xx, not in the envelope                           bad_response            unknown   no: a proxy's page, not the API
 *   5xx                                                server_error            unknown   only in the envelope
 *   3xx, 2xx that is unusable or contradicts itself    bad_response            unknown   no
 *
 * A call is `over` only if the API's own envelope was read and mentions neither time nor a connection.
 */
import { z } from 'zod';
import type { ErrorCode } from '../contract/errorCodes.ts';
import type { CallFailure } from './outcome.ts';
import { ProxyError } from './proxies.ts';

const errorEnvelope = z.object({ success: z.literal(false), error: z.object({ message: z.string() }) });

/** As the vendor documents them. */
const refusals: readonly { readonly statuses: readonly number[]; readonly text: RegExp; readonly code: ErrorCode }[] = [
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
const notImplemented = /not (yet )?(implemented|supported)/i;
const disconnected = /instance is not connected/i;
/** A call that ended with these words may still be in progress behind the server that sent them. */
const ofTimeOrConnection =
  /time[ds]?[\s_-]*out|\btime(?:s|d)?\b|deadline|expired|too long|(?:no|without an?) (?:answer|response|reply)|not respond|connect|network|socket|stream|closed|hang up|\bEOF\b|broken pipe|\bpeer\b|unreachable|gateway|upstream|cancell?ed|aborted|interrupted|E(?:CONN|HOST|NET|PIPE)/i;
/** Statuses of servers that stopped waiting for the end of the call. */
const unfinished: readonly number[] = [408, 409, 425, 499];

type Classified = Pick<CallFailure, 'code' | 'kind' | 'over' | 'final'>;
const rejected = (code: ErrorCode, over = true): Classified => ({ code, kind: 'rejected', over });
const unknown = (code: ErrorCode, over: boolean): Classified => ({ code, kind: 'unknown', over });

/** `remaining`: from the answer's headers. `secrets`: what the request carried and its answer may repeat. */
export function classifyAnswer(
  status: number,
  body: string,
  remaining: number | null,
  secrets: readonly string[] = [],
): CallFailure {
  const text = messageOf(body);
  if (text !== null) {
    return { ...classifyEnvelope(status, text, remaining), message: redact(text, secrets), httpStatus: status };
  }
  const message = `the answer (HTTP ${status}) is not RyzeAPI's: ${describeBody(body)}`;
  return { ...classifyForeign(status, body, remaining), message, httpStatus: status };
}

/** An answer in RyzeAPI's own error envelope. */
function classifyEnvelope(status: number, text: string, remaining: number | null): Classified {
  const isUnfinished = unfinished.includes(status) || ofTimeOrConnection.test(text.replace(disconnected, ''));
  if (status === 429) {
    if (limited.test(text)) return rejected('rate_limited');
    const code = remaining === 0 ? 'rate_limited' : 'throttled';
    const isDocumented = remaining === 0 || throttling.test(text);
    return isDocumented && !isUnfinished ? rejected(code) : unknown(code, !isUnfinished);
  }
  if (status === 501 && !isUnfinished) {
    return { ...(notImplemented.test(text) ? rejected('server_error') : unknown('server_error', true)), final: true };
  }
  const refusal = isUnfinished ? undefined : refusals.find((one) => one.text.test(text));
  if (refusal?.statuses.includes(status)) return rejected(refusal.code);

  if (throttling.test(text)) return unknown('throttled', !isUnfinished);
  if (status === 428 || disconnected.test(text)) return unknown('instance_disconnected', false);
  if (isUnfinished) return unknown('server_error', false);
  if (refusal !== undefined) return unknown(refusal.code, true);
  if (status >= 500) return unknown('server_error', true);
  if (status === 401 || status === 403) return unknown('unauthorized', true);
  if (status === 404) return unknown('group_not_found', true);
  return unknown(status >= 400 ? 'invalid_request' : 'bad_response', true);
}

/** An answer of another server, such as a proxy. */
function classifyForeign(status: number, body: string, remaining: number | null): Classified {
  if (status === 429) {
    if (limited.test(body) || remaining === 0) return rejected('rate_limited', false);
    return throttling.test(body) ? rejected('throttled', false) : unknown('throttled', false);
  }
  if (status === 501) return { ...unknown('server_error', false), final: true };
  if (status === 428) return unknown('instance_disconnected', false);
  if (status >= 500 || unfinished.includes(status)) return unknown('server_error', false);
  return unknown('bad_response', false);
}

/** A success whose body does not say what it should. */
export function unusableAnswer(status: number, message: string): CallFailure {
  return { ...unknown('bad_response', false), message, httpStatus: status };
}

/** No answer in time. `left`: the request was given to a connection, so it may have arrived. */
export function noAnswerInTime(timeoutMs: number, left: boolean): CallFailure {
  const kind = left ? 'unknown' : 'notSent';
  return { code: 'timeout', kind, over: false, message: `no answer within ${timeoutMs} ms`, httpStatus: null };
}

/** The connection failed before an answer came. */
export function classifyBrokenConnection(error: unknown, left: boolean): CallFailure {
  const { code, message } = error as { code?: string; message?: string };
  if (code === 'UND_ERR_CONNECT_TIMEOUT') {
    return { code: 'timeout', kind: 'notSent', over: false, message: 'no connection in time', httpStatus: null };
  }
  if (error instanceof ProxyError) {
    return { code: 'network_error', kind: 'notSent', over: false, message: error.message, httpStatus: null };
  }
  const what = left ? 'the connection broke before an answer came' : 'cannot connect';
  const why = explainCode(code) ?? redact(message ?? 'unknown error');
  const kind = left ? 'unknown' : 'notSent';
  return { code: 'network_error', kind, over: false, message: `${what} (${why})`, httpStatus: null };
}

function explainCode(code: string | undefined): string | undefined {
  if (code === undefined || !untrusted.test(code)) return code;
  return `${code}: for a private certificate authority, set NODE_EXTRA_CA_CERTS`;
}

const untrusted = /SELF_SIGNED_CERT|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT)/;

function messageOf(body: string): string | null {
  try {
    const parsed = errorEnvelope.safeParse(JSON.parse(body));
    return parsed.success ? parsed.data.error.message : null;
  } catch {
    return null;
  }
}

function describeBody(body: string): string {
  if (body.trim() === '') return 'it is empty';
  return /^\s*</.test(body) ? 'it is a web page' : "it is not in RyzeAPI's error format";
}

/** What looks like an invite code: real ones have 22 characters, letters and digits, or both cases. */
const longWord = /\w[\w-]{14,}\w/g;
const hasLettersAndDigits = (word: string) => /\d/.test(word) && /[A-Za-z]/.test(word);
const bothCases = /\b(?=[A-Z]*[a-z])(?=[a-z]*[A-Z])[A-Za-z]{22,}\b/g;

/** Makes a server's text safe for logs and events: one short line without `secrets` or anything that looks like an invite. */
export function redact(text: string, secrets: readonly string[] = []): string {
  let line = text;
  for (const secret of secrets) line = line.replaceAll(secret, '[redacted]');
  return (
    line
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed.
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
      .replace(/chat\.whatsapp\.com\/\S+/gi, 'chat.whatsapp.com/[redacted]')
      .replace(longWord, (word) => (hasLettersAndDigits(word) ? '[redacted]' : word))
      .replace(bothCases, '[redacted]')
      .trim()
      .slice(0, 200)
  );
}
