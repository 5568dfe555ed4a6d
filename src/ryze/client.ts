/**
 * The client of RyzeAPI. Each call makes one HTTP request and resolves to a `CallOutcome`, whatever the network or the
 * server does; it never rejects. Knows nothing of retries, budgets or Redis.
 */
import { Pool } from 'undici';
import { z } from 'zod';
import { classifyAnswer, classifyBrokenConnection, noAnswerInTime, unusableAnswer } from './classify.ts';
import { exchange } from './exchange.ts';
import { readRateLimit, readRetryAfter } from './headers.ts';
import { inviteCodeOf, isInviteCode, isJid } from './identifier.ts';
import type { CallFailure, CallOutcome } from './outcome.ts';

interface RyzeCall {
  readonly instance: string;
  readonly token: string;
  /** A JID or an invite code. */
  readonly identifier: string;
}

export interface RyzeClient {
  /** Replaces the group's link by a new one. A second call replaces it again. */
  resetLink(call: RyzeCall): Promise<CallOutcome>;
  /** Reads the group's link without changing it. */
  groupInfo(call: RyzeCall): Promise<CallOutcome>;
  /** Waits for calls in flight, then closes their connections. */
  close(): Promise<void>;
}

const maxBytes = 64 * 1024;

const text = z.string().nullish();
/** Anything but `success: false`. */
const success = z.literal(true).optional();
const link = { inviteCode: text, inviteLink: text };

/** Both answers, reduced to what this program reads. A reset has taken effect even if its answer lacks something. */
const resetBody = z
  .object({ success, groupJid: text, ...link })
  .transform(({ groupJid, ...shown }) => ({ jid: groupJid, ...shown }));
const infoBody = z.object({ success, group: z.object({ jid: text, ...link }) }).transform(({ group }) => group);

/** `timeoutMs`: for one whole call. */
export function createRyzeClient({ baseUrl, timeoutMs }: { baseUrl: string; timeoutMs: number }): RyzeClient {
  const base = new URL(baseUrl);
  const pool = new Pool(base.origin, { pipelining: 1, connect: { timeout: timeoutMs } });
  const prefix = `${base.pathname.replace(/\/+$/, '')}/api/group`;

  async function call(
    kind: 'reset' | 'read',
    { token, identifier }: RyzeCall,
    request: { method: 'GET' | 'POST'; path: string; body?: string },
  ): Promise<CallOutcome> {
    const headers: Record<string, string> = { token, accept: 'application/json' };
    if (request.body !== undefined) headers['content-type'] = 'application/json';
    const got = await exchange(pool, base.origin, { ...request, headers }, timeoutMs, maxBytes);
    if (got.status === null) {
      return got.timedOut ? noAnswerInTime(timeoutMs, got.left) : classifyBrokenConnection(got.error, got.left);
    }
    const { status, body } = got;
    const rateLimit = readRateLimit(got.headers, Date.now());
    const unusable = (message: string): CallFailure => ({ ...unusableAnswer(status, message), rateLimit });
    if (body === null) return unusable(`the answer (HTTP ${status}) was cut off or too long`);
    const schema = kind === 'reset' ? resetBody : infoBody;
    const parsed = status >= 200 && status < 300 ? schema.safeParse(jsonOrNull(body)) : null;
    if (!parsed?.success) {
      const secrets = isJid(identifier) ? [token] : [token, identifier];
      const retryAfterMs = readRetryAfter(got.headers, Date.now());
      return { ...classifyAnswer(status, body, rateLimit?.remaining ?? null, secrets), retryAfterMs, rateLimit };
    }
    const jid = parsed.data.jid || identifier;
    if (!isJid(jid)) return unusable('the answer has no group JID');
    if (isJid(identifier) && jid !== identifier) return unusable('the answer is about another group');
    const { inviteCode, problem } = readInviteCode(parsed.data);
    if (problem !== undefined) return unusable(problem);
    if (kind === 'read') return { kind, jid, inviteCode, rateLimit };
    return inviteCode === null ? unusable('the answer has no invite link') : { kind, jid, inviteCode, rateLimit };
  }

  return {
    resetLink(asked) {
      const path = `${prefix}/resetLink/${encodeURIComponent(asked.instance)}`;
      return call('reset', asked, { method: 'POST', path, body: JSON.stringify({ identifier: asked.identifier }) });
    },
    groupInfo(asked) {
      const [instance, identifier] = [asked.instance, asked.identifier].map(encodeURIComponent);
      const path = `${prefix}/info/${instance}?identifier=${identifier}&participants=false`;
      return call('read', asked, { method: 'GET', path });
    },
    close: () => pool.close(),
  };
}

/** From the link, the code, or both if they agree. null: the answer shows neither. */
function readInviteCode(shown: { inviteLink?: string | null; inviteCode?: string | null }): {
  readonly inviteCode: string | null;
  readonly problem?: string;
} {
  const inviteLink = shown.inviteLink?.trim() || null;
  const inviteCode = shown.inviteCode?.trim() || null;
  const fromLink = inviteLink === null ? null : inviteCodeOf(inviteLink);
  if (inviteLink !== null && fromLink === null) {
    return { inviteCode: null, problem: 'the answer has no usable invite link' };
  }
  if (inviteCode !== null && !isInviteCode(inviteCode)) {
    return { inviteCode: null, problem: 'the answer has no usable invite code' };
  }
  if (fromLink !== null && inviteCode !== null && fromLink !== inviteCode) {
    return { inviteCode: null, problem: 'the link and the code in the answer do not match' };
  }
  return { inviteCode: fromLink ?? inviteCode };
}

function jsonOrNull(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
