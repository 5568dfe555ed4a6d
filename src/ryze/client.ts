/**
 * The client of RyzeAPI. Each call makes one HTTP request and resolves to a `CallOutcome`, whatever the network or the
 * server does; it never rejects. Knows nothing of retries, budgets or Redis.
 */
import type { Dispatcher } from 'undici';
import { z } from 'zod';
import { inSpan } from '../tracing/spans.ts';
import { classifyAnswer, classifyBrokenConnection, noAnswerInTime, unusableAnswer } from './classify.ts';
import { exchange } from './exchange.ts';
import { readRateLimit, readRedirect, readRetryAfter } from './headers.ts';
import { inviteCodeOf, isInviteCode, isJid, jidOf, trimmed } from './identifier.ts';
import { type GroupList, groupsBody, instancesBody, type ListedInstance, type ListOutcome } from './lists.ts';
import { type CallFailure, type CallOutcome, isFailure, type RateLimit } from './outcome.ts';
import { type Proxies, readProxies } from './proxies.ts';

interface Caller {
  readonly instance: string;
  readonly token: string;
}

interface RyzeCall extends Caller {
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

/** What only commands ask. */
export interface RyzeLists {
  /** The groups that the instance's phone is a member of. Takes up to a minute. */
  listGroups(call: Caller): Promise<ListOutcome<GroupList>>;
  /** The instances that the token may see; with `name`, only the one of that name. */
  listInstances(call: { readonly token: string; readonly name?: string }): Promise<ListOutcome<ListedInstance[]>>;
}

const maxBytes = 64 * 1024;
/** A thousand groups with descriptions. */
const maxListBytes = 32 * 1024 * 1024;
const minListTimeoutMs = 60_000;

/** Anything else than a text counts as missing, and so does an empty one. */
const text = z
  .string()
  .transform((value) => trimmed(value) || null)
  .nullish()
  .catch(null);
const success = z
  .unknown()
  .refine((value) => value !== false && value !== 0 && !(typeof value === 'string' && /^\s*false\s*$/i.test(value)))
  .optional();
const link = { inviteCode: text, inviteLink: text };

/** Both answers, reduced to what this program reads. A reset has taken effect even if its answer lacks something. */
const resetBody = z
  .object({ success, groupJid: text, ...link })
  .transform(({ groupJid, ...shown }) => ({ jid: groupJid, ...shown }));
const infoBody = z.object({ success, group: z.object({ jid: text, ...link }) }).transform(({ group }) => group);

interface Question<T> {
  readonly token: string;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** The path without what it carries. */
  readonly template: string;
  readonly body?: string;
  /** Of an answer that is a success. */
  readonly schema: z.ZodType<T>;
  /** What the request carries and its answer may repeat. */
  readonly secrets: readonly string[];
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

interface Answer<T> {
  readonly kind: 'answer';
  readonly data: T;
  readonly status: number;
  readonly rateLimit: RateLimit | null;
}

interface ClientOptions {
  readonly baseUrl: string;
  /** For one whole call; a list of groups may take longer. */
  readonly timeoutMs: number;
  /** Default: those that the environment names. */
  readonly proxies?: Proxies;
}

/** Throws a `ProxySettingsError` if the environment names an invalid proxy. */
export function createRyzeClient({
  baseUrl,
  timeoutMs,
  proxies = readProxies(process.env),
}: ClientOptions): RyzeClient & RyzeLists {
  const base = new URL(baseUrl);
  /** Opened at the first call: loading undici takes as long as loading BullMQ. */
  let opened: Promise<Dispatcher> | null = null;
  const dispatcher = () => {
    opened ??= import('./dispatcher.ts').then(({ openDispatcher }) => openDispatcher(proxies, timeoutMs));
    return opened;
  };
  const prefix = `${base.pathname.replace(/\/+$/, '')}/api`;

  async function call(
    kind: 'reset' | 'read',
    { token, identifier }: RyzeCall,
    request: Pick<Question<unknown>, 'method' | 'path' | 'template' | 'body'>,
  ): Promise<CallOutcome> {
    const secrets = isJid(identifier) ? [token] : [token, identifier];
    const schema = kind === 'reset' ? resetBody : infoBody;
    const answer = await ask(await dispatcher(), base.origin, {
      ...request,
      token,
      schema,
      secrets,
      timeoutMs,
      maxBytes,
    });
    if (isFailure(answer)) return answer;
    const { data, status, rateLimit } = answer;
    const unusable = (message: string): CallFailure => ({ ...unusableAnswer(status, message), rateLimit });
    const jid = jidOf(data.jid ?? identifier);
    if (jid === null) return unusable('the answer has no group JID');
    if (isJid(identifier) && jid !== identifier) return unusable('the answer is about another group');
    const { inviteCode, problem } = readInviteCode(data);
    if (problem !== undefined) return unusable(problem);
    if (kind === 'read') return { kind, jid, inviteCode, rateLimit };
    return inviteCode === null ? unusable('the answer has no invite link') : { kind, jid, inviteCode, rateLimit };
  }

  async function list<T>(
    token: string,
    path: string,
    template: string,
    schema: z.ZodType<T>,
    timeoutMs: number,
  ): Promise<ListOutcome<T>> {
    const question = {
      token,
      method: 'GET',
      path,
      template,
      schema,
      secrets: [token],
      timeoutMs,
      maxBytes: maxListBytes,
    } as const;
    const answer = await ask(await dispatcher(), base.origin, question);
    return isFailure(answer) ? answer : { kind: 'listed', list: answer.data, rateLimit: answer.rateLimit };
  }

  return {
    resetLink(asked) {
      const path = `${prefix}/group/resetLink/${encodeURIComponent(asked.instance)}`;
      const body = JSON.stringify({ identifier: asked.identifier });
      return call('reset', asked, { method: 'POST', path, template: '/api/group/resetLink/{instance}', body });
    },
    groupInfo(asked) {
      const [instance, identifier] = [asked.instance, asked.identifier].map(encodeURIComponent);
      const path = `${prefix}/group/info/${instance}?identifier=${identifier}&participants=false`;
      return call('read', asked, { method: 'GET', path, template: '/api/group/info/{instance}' });
    },
    listGroups({ instance, token }) {
      const path = `${prefix}/group/list/${encodeURIComponent(instance)}?includeMembers=false`;
      const template = '/api/group/list/{instance}';
      return list(token, path, template, groupsBody, Math.max(timeoutMs, minListTimeoutMs));
    },
    listInstances({ token, name }) {
      const query = name === undefined ? '' : `?instanceName=${encodeURIComponent(name)}`;
      return list(token, `${prefix}/instance/list${query}`, '/api/instance/list', instancesBody, timeoutMs);
    },
    close: async () => (await opened)?.close(),
  };
}

/** One request, and its answer if that is a success in the expected form. Everything else is classified. */
async function ask<T>(pool: Dispatcher, origin: string, question: Question<T>): Promise<Answer<T> | CallFailure> {
  const { method, template } = question;
  const { hostname, port, protocol } = new URL(origin);
  const server = { 'server.address': hostname, 'server.port': Number(port) || (protocol === 'https:' ? 443 : 80) };
  const attributes = { 'http.request.method': method, 'url.template': template, ...server };
  return await inSpan(`${method} ${template}`, { kind: 'client', attributes }, async (span) => {
    const answer = await send(pool, origin, question);
    const status = isFailure(answer) ? answer.httpStatus : answer.status;
    span.set({ 'http.response.status_code': status });
    if (isFailure(answer)) span.fail(answer.code);
    return answer;
  });
}

async function send<T>(pool: Dispatcher, origin: string, question: Question<T>): Promise<Answer<T> | CallFailure> {
  const { token, method, path, body: sent, schema, secrets, timeoutMs } = question;
  const headers: Record<string, string> = { token, accept: 'application/json' };
  if (sent !== undefined) headers['content-type'] = 'application/json';
  const request = { method, path, headers, ...(sent === undefined ? {} : { body: sent }) };
  const got = await exchange(pool, origin, request, timeoutMs, question.maxBytes);
  if (got.status === null) {
    return got.timedOut ? noAnswerInTime(timeoutMs, got.left) : classifyBrokenConnection(got.error, got.left);
  }
  const { status, body } = got;
  const rateLimit = readRateLimit(got.headers, Date.now());
  const unusable = (message: string): CallFailure => ({ ...unusableAnswer(status, message), rateLimit });
  const isSuccess = status >= 200 && status < 300;
  if (body === null && isSuccess) return unusable(`the answer (HTTP ${status}) was cut off, too long or unreadable`);
  const redirect = readRedirect(status, got.headers, origin + path);
  if (redirect !== null) return unusable(`the server redirects to ${redirect}: correct "api.baseUrl"`);
  const parsed = isSuccess ? schema.safeParse(jsonOrNull(body)) : null;
  if (parsed?.success) return { kind: 'answer', data: parsed.data, status, rateLimit };
  const retryAfterMs = readRetryAfter(got.headers, Date.now());
  return { ...classifyAnswer(status, body ?? '', rateLimit?.remaining ?? null, secrets), retryAfterMs, rateLimit };
}

/** From the link, the code, or both if they agree. null: the answer shows neither. */
function readInviteCode(shown: { inviteLink?: string | null; inviteCode?: string | null }): {
  readonly inviteCode: string | null;
  readonly problem?: string;
} {
  const { inviteLink = null, inviteCode = null } = shown;
  const fromLink = inviteLink === null ? null : inviteCodeOf(inviteLink);
  const fromCode = inviteCode === null || isInviteCode(inviteCode) ? inviteCode : inviteCodeOf(inviteCode);
  if (fromLink !== null && fromCode !== null && fromLink !== fromCode) {
    return { inviteCode: null, problem: 'the link and the code in the answer do not match' };
  }
  const read = fromLink ?? fromCode;
  if (read !== null || (inviteLink === null && inviteCode === null)) return { inviteCode: read };
  return { inviteCode: null, problem: `the answer has no usable invite ${inviteLink === null ? 'code' : 'link'}` };
}

function jsonOrNull(body: string | null): unknown {
  try {
    return JSON.parse(body ?? '');
  } catch {
    return null;
  }
}
