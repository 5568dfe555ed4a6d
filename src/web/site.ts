/** Answers requests for addresses of a few forms, over HTTP. Read-only: only GET, and HEAD without a handler of its own. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';

export interface Asked {
  /** The decoded part of the path for which the form has `:name`. */
  readonly name: string;
  /** Not checked. Of a key that is given twice, the last. */
  readonly query: Readonly<Record<string, unknown>>;
  readonly headers: IncomingHttpHeaders;
  readonly socket: Socket;
}

export interface Answer {
  /** 200 if absent. */
  readonly code?: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: string | Buffer;
}

export type Handler = (asked: Asked) => Answer | Promise<Answer>;

export interface Site {
  /** By the form of the path, such as `/groups/:name`. */
  readonly handlers: ReadonlyMap<string, Handler>;
  /** Of every answer. */
  readonly headers: Readonly<Record<string, string>>;
  readonly notFound: Answer;
  /** To any method but GET and HEAD. */
  readonly wrongMethod: Answer;
  /** A handler has failed. */
  failed(error: Error): Answer;
  readonly requestTimeoutMs?: number;
}

/** Longer than a proxy or Prometheus keeps a connection for its next request. */
const keepAliveTimeout = 72_000;

export function createSite(site: Site): Server {
  const { requestTimeoutMs } = site;
  const timeout = requestTimeoutMs === undefined ? {} : { requestTimeout: requestTimeoutMs };
  const routes = [...site.handlers].map(([form, handle]) => ({ parts: decodedParts(form) ?? [], handle }));
  return createServer({ ...timeout, keepAliveTimeout }, async (request, response) => {
    const { code = 200, headers, body = '' } = await answer(site, routes, request);
    const length = { 'content-length': Buffer.byteLength(body) };
    response.writeHead(code, { ...site.headers, ...headers, ...length }).end(body);
  });
}

interface Route {
  readonly parts: readonly string[];
  readonly handle: Handler;
}

async function answer(site: Site, routes: readonly Route[], request: IncomingMessage): Promise<Answer> {
  const { method, url = '/', headers, socket } = request;
  if (method !== 'GET' && method !== 'HEAD') return site.wrongMethod;
  const [path = '', query = ''] = url.replace(/^https?:\/\/[^/]*/, '').split(/\?(.*)/s);
  const parts = decodedParts(path);
  if (parts === null) return site.notFound;
  for (const route of routes) {
    const name = nameIn(parts, route.parts);
    if (name === null) continue;
    try {
      return await route.handle({ name, query: Object.fromEntries(new URLSearchParams(query)), headers, socket });
    } catch (error) {
      return site.failed(error as Error);
    }
  }
  return site.notFound;
}

/** Null if the path cannot be decoded. */
function decodedParts(path: string): readonly string[] | null {
  try {
    return path.split('/').map(decodeURIComponent);
  } catch {
    return null;
  }
}

/** What stands for `:name`, empty if the form has none. Null: the path is not of this form. */
function nameIn(parts: readonly string[], form: readonly string[]): string | null {
  if (parts.length !== form.length) return null;
  let name = '';
  for (const [i, part] of form.entries()) {
    if (part === ':name') name = parts[i] ?? '';
    else if (part !== parts[i]) return null;
  }
  return name;
}

export function plainText(code: number, body: string): Answer {
  return { code, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
}

export function html(code: number, body: string): Answer {
  return { code, headers: { 'content-type': 'text/html; charset=utf-8' }, body };
}

export function json(code: number, value: unknown): Answer {
  return { code, headers: { 'content-type': 'application/json; charset=utf-8' }, body: JSON.stringify(value) };
}
