/**
 * Stable addresses for people outside: `/join/<group>` redirects to the group's live link, so what was printed or posted
 * once stays right. Serves these addresses, its own liveness and its own metrics, and nothing else of the program.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import fastify, {
  type FastifyInstance,
  type FastifyPluginCallback,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { listen, urlOf } from '../web/listen.ts';
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

/** As the configuration file has them. */
const groupId = /^[a-z0-9][a-z0-9_-]{0,63}$/;
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
  const app = createApp(options.onError);
  const opened: FastifyInstance[] = [];
  let url = '';
  const publicUrl = () => options.publicUrl ?? url;
  const serve = serveGroups(options, metrics, publicUrl);
  await app.register(serve);
  // A proxy may pass the path of the public address on, or remove it.
  const path = options.publicUrl === null ? '/' : new URL(options.publicUrl).pathname;
  if (path !== '/') await app.register(serve, { prefix: path });
  app.get('/healthz', () => ({ alive: true }));
  const open = async (server: FastifyInstance, { host, port }: Address) => {
    await server.ready();
    await listen(server.server, host, port);
    opened.push(server);
    return urlOf(server.server, host);
  };
  const sendMetrics = async (reply: FastifyReply) => reply.type(metrics.contentType).send(await metrics.render());

  try {
    if (options.metrics !== null) {
      const own = createApp(options.onError);
      own.get('/metrics', (_request, reply) => sendMetrics(reply));
      const metricsUrl = await open(own, options.metrics);
      url = await open(app, options);
      return { url, metricsUrl, close: () => closeAll(opened) };
    }
    app.get('/metrics', (request, reply) => (isFromHere(request) ? sendMetrics(reply) : reply.callNotFound()));
    url = await open(app, options);
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

function createApp(onError: (error: Error) => void): FastifyInstance {
  const app = fastify({
    requestTimeout: requestTimeoutMs,
    return503OnClosing: false,
    // A path that cannot be decoded. No hook runs for it.
    frameworkErrors: (_error, _request, reply) => notFound(reply.headers(headers) as FastifyReply),
  });
  app.addHook('onRequest', (request, reply, done) => {
    void reply.headers(headers);
    if (request.method === 'GET' || request.method === 'HEAD') return done();
    void reply.header('allow', 'GET, HEAD').code(405).type('text/plain').send('Only GET and HEAD.\n');
  });
  app.setNotFoundHandler((_request, reply) => notFound(reply));
  app.setErrorHandler((error: Error, _request, reply) => {
    onError(error);
    return notice(reply, 500, 'Something went wrong', 'Please try again in a minute.');
  });
  return app;
}

/** The routes of the groups. */
function serveGroups(
  { links, titleOf }: JoinOptions,
  metrics: JoinMetrics,
  publicUrl: () => string,
): FastifyPluginCallback {
  type Found = Extract<Lookup, { status: 'found' }>;
  type Answer = (found: Found, group: string, reply: FastifyReply) => unknown;
  const qrCodes = createQrCodes();
  const addressOf = (group: string) => `${publicUrl()}/join/${group}`;

  return (app, _options, done) => {
    function get(path: string, resource: Resource, answer: Answer): void {
      app.get<{ Params: { group: string } }>(path, async ({ params: { group } }, reply) => {
        const lookup: Lookup = groupId.test(group) ? await links.find(group) : { status: 'unknown_group' };
        metrics.count(resource, lookup);
        return lookup.status === 'found' ? await answer(lookup, group, reply) : refuse(reply, lookup.status);
      });
    }

    get('/join/:group', 'redirect', ({ inviteLink }, _group, reply) => reply.redirect(inviteLink, 302));
    get('/join/:group/qr.svg', 'page', async (_found, group, reply) =>
      reply
        .header('cache-control', qrCaching)
        .type('image/svg+xml')
        .send(await qrCodes.svg(addressOf(group))),
    );
    get('/join/:group/qr.png', 'page', async (_found, group, reply) =>
      reply
        .header('cache-control', qrCaching)
        .type('image/png')
        .send(await qrCodes.png(addressOf(group))),
    );
    get('/groups/:group', 'page', async (found, group, reply) => {
      const address = addressOf(group);
      const page = renderGroupPage(titleOf(found.group), address, await qrCodes.svg(address));
      return reply.type('text/html; charset=utf-8').send(page);
    });
    done();
  };
}

function refuse(reply: FastifyReply, status: Exclude<Lookup['status'], 'found'>): FastifyReply {
  if (status === 'unknown_group') return notFound(reply);
  void reply.header('retry-after', retryAfterS);
  const sentence =
    status === 'no_link'
      ? 'This group has no link yet. Please try again in a minute.'
      : 'The link of this group cannot be read now. Please try again in a minute.';
  return notice(reply, 503, 'Not available yet', sentence);
}

function notFound(reply: FastifyReply): FastifyReply {
  return notice(reply, 404, 'Not found', 'There is no group at this address. Please check it, or ask for a new one.');
}

function notice(reply: FastifyReply, code: number, title: string, sentence: string): FastifyReply {
  return reply.code(code).type('text/html; charset=utf-8').send(renderNotice(title, sentence));
}

/** Whether a program on this machine has sent the request, not a proxy for somebody else. */
function isFromHere({ socket, headers }: FastifyRequest): boolean {
  const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  return (address === '::1' || address.startsWith('127.')) && forwarded.every((name) => headers[name] === undefined);
}

/** Answers what is being asked already. */
async function closeAll(servers: readonly FastifyInstance[]): Promise<void> {
  await Promise.all(
    servers.map(async (app) => {
      const closed = new Promise((resolve) => app.server.close(resolve));
      app.server.closeIdleConnections();
      await Promise.race([closed, sleep(closeMs, undefined, { ref: false })]);
      app.server.closeAllConnections();
      await app.close();
    }),
  );
}
