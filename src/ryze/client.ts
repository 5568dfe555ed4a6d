/**
 * The client of RyzeAPI. Every call makes one request, never rejects for anything that network or server can do, and
 * ends as a `CallOutcome`: a checked answer, or a failure classified once. Knows nothing of retries, budgets or Redis.
 */
import { Pool } from 'undici';
import type { z } from 'zod';
import { infoBody, resetBody } from './answers.ts';
import { classifyAnswer, classifySilence, contradiction } from './classify.ts';
import { type ExchangeRequest, exchange } from './exchange.ts';
import { readRateLimit, readRetryAfter } from './headers.ts';
import { inviteCodeOf, inviteLinkOf, isInviteCode, isJid } from './identifier.ts';
import type { CallOutcome, InfoAnswer, ResetAnswer } from './outcome.ts';

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
    const parsed = status >= 200 && status < 300 ? schema.safeParse(jsonOrNull(body)) : null;
    if (!parsed?.success) {
      const secrets = isJid(identifier) ? [token] : [token, identifier];
      const remaining = rateLimit?.remaining ?? null;
      const retryAfterMs = readRetryAfter(got.headers, Date.now());
      const failure = classifyAnswer({ status, body, remaining, secrets });
      return { ...failure, ...(retryAfterMs === null ? {} : { retryAfterMs }), rateLimit };
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
        ({ groupJid, ...shown }): ResetAnswer | string => {
          const jid = groupJid || asked.identifier;
          const wrong = wrongGroup(jid, asked);
          if (wrong !== null) return wrong;
          const read = readCode(shown);
          if (!read.usable) return read.why;
          if (read.code === null) return 'the answer has no invite link';
          return { jid, inviteCode: read.code, inviteLink: inviteLinkOf(read.code) };
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
          const jid = group.jid || asked.identifier;
          const wrong = wrongGroup(jid, asked);
          if (wrong !== null) return wrong;
          const read = readCode(group);
          if (!read.usable) return read.why;
          return { jid, inviteCode: read.code, inviteLink: read.code === null ? null : inviteLinkOf(read.code) };
        },
      ),
    close: () => pool.close(),
  };
}

function wrongGroup(jid: string, { identifier }: RyzeCall): string | null {
  if (!isJid(jid)) return 'the answer has no group JID';
  return isJid(identifier) && jid !== identifier ? 'the answer is about another group' : null;
}

type ReadCode =
  /** null: none is shown. */
  { readonly usable: true; readonly code: string | null } | { readonly usable: false; readonly why: string };

/** From the link, the code, or both, which must then agree. */
function readCode(shown: { inviteLink?: string | null; inviteCode?: string | null }): ReadCode {
  const link = shown.inviteLink?.trim() || null;
  const bare = shown.inviteCode?.trim() || null;
  if (link === null && bare === null) return { usable: true, code: null };
  const fromLink = link === null ? null : inviteCodeOf(link);
  const fromCode = bare !== null && isInviteCode(bare) ? bare : null;
  if (link !== null && fromLink === null) return { usable: false, why: 'the answer has no usable invite link' };
  if (bare !== null && fromCode === null) return { usable: false, why: 'the answer has no usable invite code' };
  if (fromLink !== null && fromCode !== null && fromLink !== fromCode) {
    return { usable: false, why: 'link and code of the answer do not agree' };
  }
  return { usable: true, code: fromLink ?? fromCode };
}

function jsonOrNull(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
