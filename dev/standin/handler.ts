/** Handles one request to the stand-in: authentication, rate limit, refusals, fault if any, effect and answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Answer,
  failure,
  groupsAnswer,
  infoAnswer,
  instancesAnswer,
  type ListForm,
  limitExceeded,
  refuseDisconnected,
  refuseReset,
  refuseToken,
  resetAnswer,
} from './answer.ts';
import type { Fault, Faults } from './faults.ts';
import type { Count, Limiter } from './limiter.ts';
import type { Endpoint, LoggedRequest, RequestLog } from './log.ts';
import type { StandInGroup, StandInInstance, StandInToken, World } from './world.ts';

export interface HandlerDependencies {
  readonly world: World;
  readonly log: RequestLog;
  readonly faults: Faults;
  readonly limiter: Limiter;
  readonly random: () => number;
  readonly countAt: 'arrival' | 'answer';
  readonly latency: { readonly minMs: number; readonly maxMs: number };
  readonly listForm: ListForm;
  readonly onRequest: (request: LoggedRequest) => void;
  /** Starts a timer that is cleared when the server closes. */
  readonly later: (ms: number, run: () => void) => void;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export function createHandler(deps: HandlerDependencies): Handler {
  return (request, response) => {
    const begin = now();
    const logged = deps.log.add({ ...describe(request), begin, identifier: null, jid: null, ...unanswered });
    response.on('close', () => {
      logged.end = now();
      deps.onRequest(logged);
    });
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => answer(deps, logged, request, response, Buffer.concat(chunks).toString('utf8')));
    request.on('error', () => response.destroy());
  };
}

const unanswered = { end: null, status: null, countedAt: null, effect: null, fault: null } as const;

function describe(request: IncomingMessage) {
  const url = new URL(request.url ?? '/', 'http://stand-in');
  const token = request.headers.token;
  const [, api, area, action, instance] = url.pathname.split('/');
  let endpoint: Endpoint = 'unknown';
  if (url.pathname === '/health') endpoint = 'health';
  else if (api === 'api' && area === 'group' && action === 'resetLink' && request.method === 'POST') endpoint = 'reset';
  else if (api === 'api' && area === 'group' && action === 'info' && request.method === 'GET') endpoint = 'info';
  else if (api === 'api' && area === 'group' && action === 'list' && request.method === 'GET') endpoint = 'groups';
  else if (url.pathname === '/api/instance/list' && request.method === 'GET') endpoint = 'instances';
  return {
    endpoint,
    method: request.method ?? '',
    path: url.pathname + url.search,
    instance: instance === undefined ? null : decodeURIComponent(instance),
    token: typeof token === 'string' && token !== '' ? token : null,
  };
}

function answer(
  deps: HandlerDependencies,
  logged: LoggedRequest,
  request: IncomingMessage,
  response: ServerResponse,
  body: string,
): void {
  const { world, limiter } = deps;
  if (logged.endpoint === 'health') return send(logged, response, { status: 200, body: { status: 'ok' } }, null);
  if (logged.endpoint === 'unknown') return send(logged, response, failure(404, 'Not found'), null);
  const refusedToken = refuseToken(world, logged.token, logged.instance);
  if (refusedToken !== null) {
    const counted =
      logged.token !== null && world.tokens.has(logged.token) ? limiter.peek(logged.token, Date.now()) : null;
    return send(logged, response, refusedToken, counted);
  }

  const token = logged.token ?? '';
  const count = () => {
    const counted = limiter.count(token, Date.now());
    if (counted.allowed) logged.countedAt = now();
    return counted;
  };
  let counted: Count | null = null;
  if (deps.countAt === 'arrival') {
    counted = count();
    if (!counted.allowed) return send(logged, response, limitExceeded, counted);
  }

  const identifier = readIdentifier(logged, request, body);
  logged.identifier = identifier;
  const group = identifier === null ? undefined : world.find(identifier);
  logged.jid = group?.jid ?? null;
  const fault = deps.faults.take(logged);
  logged.fault = fault?.kind ?? null;

  const { minMs, maxMs } = deps.latency;
  const latencyMs = minMs + deps.random() * (maxMs - minMs) + (fault?.kind === 'slow' ? fault.ms : 0);
  deps.later(latencyMs, () => {
    const final = counted ?? count();
    if (!final.allowed) return send(logged, response, limitExceeded, final);
    respond(deps, logged, response, group, fault, final);
  });
}

/** Reads the identifier from the JSON body of a reset, or from the query of `info`. */
function readIdentifier(logged: LoggedRequest, request: IncomingMessage, body: string): string | null {
  if (logged.endpoint === 'info') return query(logged).get('identifier') || null;
  if (logged.endpoint !== 'reset' || !request.headers['content-type']?.startsWith('application/json')) return null;
  try {
    const { identifier } = JSON.parse(body) as { identifier?: unknown };
    return typeof identifier === 'string' && identifier !== '' ? identifier : null;
  } catch {
    return null;
  }
}

function query({ path }: LoggedRequest): URLSearchParams {
  return new URL(path, 'http://stand-in').searchParams;
}

function respond(
  deps: HandlerDependencies,
  logged: LoggedRequest,
  response: ServerResponse,
  group: StandInGroup | undefined,
  fault: Fault | null,
  counted: Count,
): void {
  const { world } = deps;
  const shown = fault?.kind === 'noHeaders' ? null : counted;
  const effect = (): string | null => {
    if (logged.endpoint !== 'reset' || group === undefined) return null;
    if (refuse(world, logged, group) !== null) return null;
    const code = world.reset(group, Date.now());
    logged.effect = { at: now(), code };
    return code;
  };
  const regular = (): Answer => {
    if (logged.endpoint === 'instances') {
      const token = world.tokens.get(logged.token ?? '') as StandInToken;
      return instancesAnswer(world, token, query(logged).get('instanceName'));
    }
    if (logged.endpoint === 'groups') {
      const instance = world.instances.get(logged.instance ?? '') as StandInInstance;
      const includeMembers = query(logged).get('includeMembers');
      // Without the parameter the real server's behaviour is not documented.
      if (includeMembers !== 'true' && includeMembers !== 'false') {
        return failure(400, 'includeMembers must be true or false');
      }
      return (
        refuseDisconnected(instance) ??
        groupsAnswer(world, instance, { form: deps.listForm, includeMembers: includeMembers === 'true' })
      );
    }
    if (logged.identifier === null) return failure(400, 'Identifier is required');
    const refused = refuse(world, logged, group);
    if (refused !== null) return refused;
    const known = group as StandInGroup;
    return logged.endpoint === 'info' ? infoAnswer(known) : resetAnswer(known, effect() ?? known.code);
  };

  switch (fault?.kind) {
    case undefined:
    case 'noHeaders':
    case 'slow':
      return send(logged, response, regular(), shown);
    case 'serverError': {
      if (fault.effect) effect();
      const status = fault.status ?? 500;
      if (fault.html) return sendText(logged, response, status, page(status), shown, 'text/html');
      return send(logged, response, failure(status, fault.message ?? 'Internal server error'), shown);
    }
    case 'cut':
      if (fault.effect) effect();
      response.socket?.resetAndDestroy();
      return;
    case 'silence':
      if (fault.effectAfterMs !== null) deps.later(fault.effectAfterMs, effect);
      return;
    case 'lateEffect':
      deps.later(fault.effectAfterMs, effect);
      response.socket?.resetAndDestroy();
      return;
    case 'badBody':
      return sendBadBody(deps, logged, response, fault.body, regular(), shown);
    case 'answer': {
      if (fault.effectAfterMs === 0) effect();
      else if (fault.effectAfterMs !== null) deps.later(fault.effectAfterMs, effect);
      const text = typeof fault.body === 'string' ? fault.body : JSON.stringify(fault.body);
      for (const [name, value] of Object.entries(fault.headers ?? {})) response.setHeader(name, value);
      return sendText(logged, response, fault.status, text, fault.headers === undefined ? shown : null);
    }
    case 'repeat': {
      const before = group?.code ?? '';
      if (fault.effect) effect();
      return send(logged, response, group === undefined ? regular() : resetAnswer(group, before), shown);
    }
    case 'stale': {
      const before = group?.history.findLast(({ from }) => from <= Date.now() - fault.ageMs);
      const code = (before ?? group?.history[0])?.code;
      if (logged.endpoint !== 'info' || group === undefined || code === undefined) {
        return send(logged, response, regular(), shown);
      }
      return send(logged, response, infoAnswer({ ...group, code }), shown);
    }
    case 'redirect':
      response.setHeader('location', fault.to);
      return sendText(logged, response, 302, '', shown, 'text/plain');
    case 'throttled':
      return send(logged, response, failure(fault.status ?? 429, fault.message ?? 'rate-overlimit'), shown);
    case 'limit':
      return send(logged, response, limitExceeded, { ...counted, remaining: 0 });
  }
}

function refuse(world: World, logged: LoggedRequest, group: StandInGroup | undefined): Answer | null {
  const instance = world.instances.get(logged.instance ?? '');
  const disconnected = instance === undefined ? null : refuseDisconnected(instance);
  if (disconnected !== null) return disconnected;
  if (logged.endpoint === 'reset') return refuseReset(group, logged.instance ?? '');
  return group?.members.has(logged.instance ?? '')
    ? null
    : failure(404, 'Group not found or you are not a member of this group');
}

function sendBadBody(
  deps: HandlerDependencies,
  logged: LoggedRequest,
  response: ServerResponse,
  how: Extract<Fault, { kind: 'badBody' }>['body'],
  regular: Answer,
  counted: Count | null,
): void {
  const text = JSON.stringify(regular.body);
  switch (how) {
    case 'html':
      return sendText(logged, response, 200, page(200), counted, 'text/html');
    case 'empty':
      return sendText(logged, response, 200, '', counted);
    case 'successFalse':
      return send(logged, response, { status: 200, body: { success: false, error: { message: 'failed' } } }, counted);
    case 'otherGroup':
      return send(
        logged,
        response,
        { status: 200, body: { ...regular.body, groupJid: '120363000000000000@g.us' } },
        counted,
      );
    case 'oversized':
      return sendText(
        logged,
        response,
        200,
        JSON.stringify({ ...regular.body, padding: 'x'.repeat(100_000) }),
        counted,
      );
    case 'cut':
      head(logged, response, 200, counted, 'application/json', text.length);
      response.write(text.slice(0, text.length / 2), () => response.socket?.resetAndDestroy());
      return;
    case 'trickle': {
      head(logged, response, 200, counted, 'application/json', text.length);
      const drip = (at: number) => {
        if (at >= text.length || response.destroyed) return void response.end();
        response.write(text[at]);
        deps.later(100, () => drip(at + 1));
      };
      return drip(0);
    }
  }
}

function send(logged: LoggedRequest, response: ServerResponse, { status, body }: Answer, counted: Count | null): void {
  sendText(logged, response, status, JSON.stringify(body), counted);
}

function sendText(
  logged: LoggedRequest,
  response: ServerResponse,
  status: number,
  text: string,
  counted: Count | null,
  type = 'application/json',
): void {
  if (response.destroyed) return;
  head(logged, response, status, counted, type, Buffer.byteLength(text));
  response.end(text);
}

function head(
  logged: LoggedRequest,
  response: ServerResponse,
  status: number,
  counted: Count | null,
  type: string,
  length: number,
): void {
  logged.status = status;
  response.statusCode = status;
  response.setHeader('content-type', type);
  response.setHeader('content-length', length);
  if (counted === null) return;
  response.setHeader('x-ratelimit-limit', counted.limit);
  response.setHeader('x-ratelimit-remaining', counted.remaining);
  response.setHeader('x-ratelimit-reset', Math.ceil(counted.resetAt / 1000));
}

function page(status: number): string {
  return `<html><head><title>${status}</title></head><body><h1>${status}</h1></body></html>`;
}

/** Milliseconds since 1970 with a fraction, so that requests a few microseconds apart keep their order. */
function now(): number {
  return performance.timeOrigin + performance.now();
}
