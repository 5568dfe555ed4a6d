/**
 * Stable addresses for people outside: `/join/<group>` redirects to the group's live link, so what was printed or posted
 * once stays right. Serves these addresses, its own liveness and its own metrics, and nothing else of the program.
 */
import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { groupId } from '../contract/event.ts';
import { listen, urlOf } from '../web/listen.ts';
import { type Answer, type Asked, createSite, type Handler, html, json, plainText } from '../web/site.ts';
import type { Links, Lookup } from './links.ts';
import { createJoinMetrics, type JoinMetrics, type Resource } from './metrics.ts';
import { pagePolicy, renderGroupPage, renderNotice } from './page.ts';
import { createQrCodes } from './qr.ts';

export interface Address {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

export interface JoinOptions extends Address {
  /** What people see before `/join/...`. Null: the address that the server listens on. */
  readonly publicUrl: string | null;
  /** Where the metrics are served. Null: at the same address, to this machine only. */
  readonly metrics: Address | null;
  readonly titleOf: (group: string) => string;
  readonly links: Links;
  readonly onError: (error: Error) => void;
}

export interface JoinServer {
  readonly url: string;
  readonly metricsUrl: string;
  close(): Promise<void>;
}

/** A QR code shows an address that does not change. */
const qrCaching = 'public, max-age=3600';
const retryAfterS = 10;
/** A request that a proxy passes on has one of these. */
const forwarded = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'] as const;
/** A visitor's request takes milliseconds. */
const requestTimeoutMs = 10_000;
const closeMs = 2_000;

/** Rejects if it cannot listen. */
export async function startJoinServer(options: JoinOptions): Promise<JoinServer> {
  const metrics = createJoinMetrics(options.links);
  const opened: Server[] = [];
  let url = '';
  const open = async (handlers: ReadonlyMap<string, Handler>, { host, port }: Address) => {
    const server = createJoinSite(handlers, options.onError);
    await listen(server, host, port);
    opened.push(server);
    return urlOf(server, host);
  };
  const serveMetrics = async () => ({
    headers: { 'content-type': metrics.contentType },
    body: await metrics.render(),
  });
  const handlers = groupHandlers(options, metrics, () => options.publicUrl ?? url);
  handlers.set('/healthz', () => json(200, { alive: true }));

  try {
    if (options.metrics !== null) {
      const metricsUrl = await open(new Map([['/metrics', serveMetrics]]), options.metrics);
      url = await open(handlers, options);
      return { url, metricsUrl, close: () => closeAll(opened) };
    }
    handlers.set('/metrics', (asked) => (isFromHere(asked) ? serveMetrics() : notFound));
    url = await open(handlers, options);
    return { url, metricsUrl: url, close: () => closeAll(opened) };
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

const headers = {
  'cache-control': 'no-store',
  'content-security-policy': pagePolicy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-robots-tag': 'noindex',
};

function createJoinSite(handlers: ReadonlyMap<string, Handler>, onError: (error: Error) => void): Server {
  return createSite({
    handlers,
    headers,
    notFound,
    wrongMethod: withHeaders(plainText(405, 'Only GET and HEAD.\n'), { allow: 'GET, HEAD' }),
    failed(error) {
      onError(error);
      return notice(500, 'Something went wrong', 'Please try again in a minute.');
    },
    requestTimeoutMs,
  });
}

/** The addresses of the groups, also behind the path of the public address: a proxy may pass it on, or remove it. */
function groupHandlers(
  { links, titleOf, publicUrl }: JoinOptions,
  metrics: JoinMetrics,
  seenUrl: () => string,
): Map<string, Handler> {
  type Found = Extract<Lookup, { status: 'found' }>;
  const qrCodes = createQrCodes();
  const addressOf = (group: string) => `${seenUrl()}/join/${group}`;
  const handlers = new Map<string, Handler>();
  const prefix = publicUrl === null ? '' : new URL(publicUrl).pathname.replace(/\/$/, '');
  const get = (path: string, resource: Resource, answer: (found: Found, group: string) => Answer | Promise<Answer>) => {
    const handler: Handler = async ({ name }) => {
      const lookup: Lookup = groupId.test(name) ? await links.find(name) : { status: 'unknown_group' };
      metrics.count(resource, lookup);
      return lookup.status === 'found' ? await answer(lookup, name) : refusal(lookup.status);
    };
    handlers.set(path, handler).set(prefix + path, handler);
  };
  const image = (type: string, body: string | Buffer) => ({
    headers: { 'cache-control': qrCaching, 'content-type': type },
    body,
  });

  get('/join/:name', 'redirect', ({ inviteLink }) => ({ code: 302, headers: { location: inviteLink } }));
  get('/join/:name/qr.svg', 'page', async (_found, group) =>
    image('image/svg+xml', await qrCodes.svg(addressOf(group))),
  );
  get('/join/:name/qr.png', 'page', async (_found, group) => image('image/png', await qrCodes.png(addressOf(group))));
  get('/groups/:name', 'page', async (found, group) => {
    const address = addressOf(group);
    return html(200, renderGroupPage(titleOf(found.group), address, await qrCodes.svg(address)));
  });
  return handlers;
}

const notFound = notice(404, 'Not found', 'There is no group at this address. Please check it, or ask for a new one.');

function refusal(status: Exclude<Lookup['status'], 'found'>): Answer {
  if (status === 'unknown_group') return notFound;
  const sentence =
    status === 'no_link'
      ? 'This group has no link yet. Please try again in a minute.'
      : 'The link of this group cannot be read now. Please try again in a minute.';
  return withHeaders(notice(503, 'Not available yet', sentence), { 'retry-after': retryAfterS });
}

function notice(code: number, title: string, sentence: string): Answer {
  return html(code, renderNotice(title, sentence));
}

function withHeaders(answer: Answer, more: Answer['headers']): Answer {
  return { ...answer, headers: { ...answer.headers, ...more } };
}

/** Whether a program on this machine has sent the request, not a proxy for somebody else. */
function isFromHere({ socket, headers }: Asked): boolean {
  const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  return (address === '::1' || address.startsWith('127.')) && forwarded.every((name) => headers[name] === undefined);
}

/** Answers what is being asked already. */
async function closeAll(servers: readonly Server[]): Promise<void> {
  await Promise.all(
    servers.map(async (server) => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      await Promise.race([closed, sleep(closeMs, undefined, { ref: false })]);
      server.closeAllConnections();
      await closed;
    }),
  );
}
