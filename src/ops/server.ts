/**
 * The HTTP server for operators: health, readiness, metrics, and the status as JSON and as a page. Read-only; serves no
 * link, code or token.
 */
import fastify, { type FastifyReply } from 'fastify';
import { unlessAborted } from '../abort.ts';
import type { Logger } from '../log.ts';
import { isConnectionError } from '../redis/errors.ts';
import type { GroupDetail } from '../status/group.ts';
import type { StatusReader } from '../status/status.ts';
import { listen, urlOf } from '../web/listen.ts';
import { securityPolicy } from './document.ts';
import { renderGroupPage } from './groupPage.ts';
import type { Metrics } from './metrics.ts';
import { renderPage } from './page.ts';
import { type Health, judge } from './readiness.ts';
import { addressOf, viewOf } from './view.ts';

export interface OpsOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly metrics: Metrics;
  readonly health: () => Health;
  /** Rejects while Redis cannot be read. */
  readonly status: StatusReader;
  /** Names of the instances of the file in force. */
  readonly instances: () => readonly string[];
  /** Null if there is no group of this id. Rejects while Redis cannot be read. */
  readonly group: (id: string) => Promise<GroupDetail | null>;
  readonly log: Logger;
}

export interface OpsServer {
  readonly url: string;
  close(): Promise<void>;
}

const htmlType = 'text/html; charset=utf-8';

interface GroupRoute {
  Params: { id: string };
  Querystring: Record<string, unknown>;
}

/** Groups on a page for people, and in an answer for programs. */
const pageSizes = { html: 100, json: 250 };
/** How long a request waits for Redis. */
const timeoutMs = 3_000;

export async function startOpsServer(options: OpsOptions): Promise<OpsServer> {
  const { host, port, metrics, health, log } = options;
  const inTime = <T>(reading: Promise<T>) => unlessAborted(reading, AbortSignal.timeout(timeoutMs));
  const group = (id: string) => inTime(options.group(id));
  const orNull = <T>(reading: Promise<T>) =>
    inTime(reading).catch((error: Error) => {
      report(error);
      return null;
    });
  const report = (error: Error) => {
    // The Redis client reports problems with the connection already.
    const level = error.name === 'TimeoutError' || isConnectionError(error) ? 'debug' : 'warn';
    log[level]({ event: 'ops.error', err: error }, 'cannot read the status from Redis');
  };
  const app = fastify({ exposeHeadRoutes: true });
  app.addHook('onSend', (_request, reply, payload, done) => {
    reply.headers({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'content-security-policy': securityPolicy,
      'referrer-policy': 'no-referrer',
    });
    done(null, payload);
  });
  app.setErrorHandler((error: Error, _request, reply) => {
    report(error);
    void reply.code(503).type('text/plain').send('Redis cannot be read.\n');
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('Not found.\n'));

  type Query = Readonly<Record<string, unknown>>;
  type Answer = (reply: FastifyReply, query: Query) => unknown;
  const readiness = (reply: FastifyReply) => {
    const judged = judge(health());
    return reply.code(judged.ready ? 200 : 503).send(judged);
  };
  const measures: Answer = async (reply) =>
    reply
      .type(metrics.contentType)
      .send(await metrics.render(await orNull(options.status.readAll()), health(), options.instances()));
  const statusJson: Answer = async (reply, query) => {
    const view = viewOf(query);
    const status = await inTime(options.status.read(view, pageSizes.json));
    const { number, pages } = status.page;
    const next = number < pages ? addressOf({ ...view, page: number + 1 }, query) : null;
    return reply.send({ ...status, page: { ...status.page, next } });
  };
  const formats = new Map<unknown, Answer>([
    ['json', statusJson],
    ['metrics', measures],
    ['readiness', readiness],
  ]);

  async function groupJson(id: string, reply: FastifyReply) {
    const shown = await group(id);
    if (shown === null) return await reply.code(404).send({ error: 'no group in the configuration file has this id' });
    return await reply.send(shown);
  }

  async function groupPage(id: string, home: string, reply: FastifyReply) {
    const shown = await group(id).catch((error: Error) => {
      report(error);
      return 'unreadable' as const;
    });
    const code = shown === null ? 404 : shown === 'unreadable' ? 503 : 200;
    return await reply
      .code(code)
      .type(htmlType)
      .send(renderGroupPage(id, shown ?? 'unknown', home));
  }

  app.get('/healthz', () => ({ alive: true }));
  app.get('/readyz', (_request, reply) => readiness(reply));
  app.get('/metrics', (_request, reply) => measures(reply, {}));
  app.get<{ Querystring: Query }>('/api/status', ({ query }, reply) => statusJson(reply, query));
  app.get<{ Params: { id: string } }>('/api/groups/:id', ({ params }, reply) => groupJson(params.id, reply));
  app.get<GroupRoute>('/groups/:id', ({ params, query }, reply) =>
    query.format === 'json' ? groupJson(params.id, reply) : groupPage(params.id, '../', reply),
  );
  // All that the page links to is found under its own address too: behind a prefix, it does not know where the rest is.
  app.get<{ Querystring: Query }>('/', async ({ query }, reply) => {
    if (typeof query.group === 'string') {
      return await (query.format === 'json' ? groupJson(query.group, reply) : groupPage(query.group, '', reply));
    }
    const answer = formats.get(query.format);
    if (answer !== undefined) return answer(reply, query);
    const view = viewOf(query);
    const shown = await orNull(options.status.read(view, pageSizes.html));
    return await reply
      .code(shown === null ? 503 : 200)
      .type(htmlType)
      .send(renderPage(shown, health(), view));
  });

  await app.ready();
  await listen(app.server, host, port);
  return {
    url: urlOf(app.server, host),
    async close() {
      app.server.close();
      // Browsers open connections ahead of time; an idle one must not delay the shutdown.
      app.server.closeAllConnections();
      await app.close();
    },
  };
}
