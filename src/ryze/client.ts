/**
 * The client of RyzeAPI. Every call makes one request, never rejects for anything that network or server can do, and
 * ends as a `CallOutcome`: a checked answer, or a failure classified once. Knows nothing of retries, budgets or Redis.
 */
import { Pool } from 'undici';
import type { z } from 'zod';
import { infoBody, resetBody } from './answers.ts';
import { classifyAnswer, classifySilence, contradiction } from './classify.ts';
import { type ExchangeRequest, exchange } from './exchange.ts';
import { inviteCodeOf, inviteLinkOf, isJid } from './identifier.ts';
import type { CallOutcome, InfoAnswer, ResetAnswer } from './outcome.ts';
import { readRateLimit } from './rateLimitHeaders.ts';

export interface RyzeCall {
  readonly instance: string;
  readonly token: string;
  /** A JID, or an invite code. */
  readonly identifier: string;
}

export interface RyzeClient {
  /** Revokes the group's link and makes a new one. Cannot be repeated harmlessly. */
  resetLink(call: RyzeCall): Promise<CallOutcome<ResetAnswer>>;
  /** Reads the group's link without changing it. */
  groupInfo(call: RyzeCall): Promise<CallOutcome<InfoAnswer>>;
  /** Waits for calls in flight, then closes their connections. */
  close(): Promise<void>;
}

export interface RyzeClientOptions {
  readonly baseUrl: string;
  /** For one whole call. */
  readonly timeoutMs: number;
}

const mostBytes = 64 * 1024;

export function createRyzeClient({ baseUrl, timeoutMs }: RyzeClientOptions): RyzeClient {
  const base = new URL(baseUrl);
  const pool = new Pool(base.origin, { pipelining: 1, connect: { timeout: timeoutMs } });
  const prefix = base.pathname.replace(/\/+$/, '');

  async function call<T, B extends z.ZodType>(
    { token, identifier }: RyzeCall,
    request: Pick<ExchangeRequest, 'method' | 'path' | 'body'>,
    schema: B,
    read: (body: z.output<B>) => T | string,
  ): Promise<CallOutcome<T>> {
    const headers: Record<string, string> = { token, accept: 'application/json' };
    if (request.body !== undefined) headers['content-type'] = 'application/json';
    const got = await exchange(pool, base.origin, { ...request, headers }, timeoutMs, mostBytes);
    if (got.status === null) {
      const failure = got.timedOut
        ? {
            ok: false as const,
            code: 'timeout' as const,
            message: `no answer within ${timeoutMs} ms`,
            httpStatus: null,
            sent: got.left ? ('unknown' as const) : ('no' as const),
            ended: false,
          }
        : classifySilence(got.error, got.left);
      return { ...failure, rateLimit: null };
    }
    const rateLimit = readRateLimit(got.headers, Date.now());
    const { status, body } = got;
    if (body === null)
      return { ...contradiction(status, `the answer (HTTP ${status}) broke off or was too long`), rateLimit };
    const parsed = status === 200 ? schema.safeParse(jsonOrNull(body)) : null;
    if (!parsed?.success) {
      const secrets = isJid(identifier) ? [token] : [token, identifier];
      const remaining = rateLimit?.remaining ?? null;
      return { ...classifyAnswer({ status, body, remaining, secrets }), rateLimit };
    }
    const value = read(parsed.data);
    if (typeof value === 'string') return { ...contradiction(status, value), rateLimit };
    return { ok: true, value, rateLimit };
  }

  return {
    resetLink: (asked) =>
      call(
        asked,
        {
          method: 'POST',
          path: `${prefix}/api/group/resetLink/${encodeURIComponent(asked.instance)}`,
          body: JSON.stringify({ identifier: asked.identifier }),
        },
        resetBody,
        ({ groupJid, inviteCode, inviteLink }): ResetAnswer | string => {
          const wrong = wrongGroup(groupJid, asked);
          if (wrong !== null) return wrong;
          if (inviteCodeOf(inviteLink) !== inviteCode) return 'link and code of the answer do not agree';
          return { jid: groupJid, inviteCode, inviteLink: inviteLinkOf(inviteCode) };
        },
      ),
    groupInfo: (asked) =>
      call(
        asked,
        {
          method: 'GET',
          path: `${prefix}/api/group/info/${encodeURIComponent(asked.instance)}?identifier=${encodeURIComponent(asked.identifier)}&participants=false`,
        },
        infoBody,
        ({ group }): InfoAnswer | string => {
          const jid = group.jid ?? asked.identifier;
          const wrong = wrongGroup(jid, asked);
          if (wrong !== null) return wrong;
          const { inviteLink, inviteCode } = group;
          if (!inviteLink && !inviteCode) return { jid, inviteCode: null, inviteLink: null };
          const code = inviteCodeOf(inviteLink || inviteLinkOf(inviteCode ?? ''));
          if (code === null) return 'the answer has no readable invite link';
          if (inviteCode && inviteCode !== code) return 'link and code of the answer do not agree';
          return { jid, inviteCode: code, inviteLink: inviteLinkOf(code) };
        },
      ),
    close: () => pool.close(),
  };
}

function wrongGroup(jid: string, { identifier }: RyzeCall): string | null {
  if (!isJid(jid)) return 'the answer has no group JID';
  return isJid(identifier) && jid !== identifier ? 'the answer is about another group' : null;
}

function jsonOrNull(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
