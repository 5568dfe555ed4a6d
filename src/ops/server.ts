/**
 * The HTTP server for operators: health, readiness, metrics, and the status as JSON and as a page. Read-only; serves no
 * link, code or token.
 */
import fastify, { type FastifyReply } from 'fastify';
import { unlessAborted } from '../abort.ts';
import type { Logger } from '../log.ts';
import { isConnectionError } from '../redis/errors.ts';
import type { GroupDetail } from '../status/group.ts';
import type { Status } from '../status/status.ts';
import { listen, urlOf } from '../web/listen.ts';
import { securityPolicy } from './document.ts';
import { renderGroupPage } from './groupPage.ts';
import type { Metrics } from './metrics.ts';
import { renderPage } from './page.ts';
import { type Health, judge } from './readiness.ts';
import { viewOf } from './view.ts';

export interface OpsOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly metrics: Metrics;
  readonly health: () => Health;
  /** Rejects while Redis cannot be read. */
  readonly status: () => Promise<Status>;
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

/** Reading every group takes time, so a reading is shared by all requests that arrive within this time. */
const sharedForMs = 2_000;
/** How long a request waits for Redis. */
const timeoutMs = 3_000;

export async function startOpsServer(options: OpsOptions): Promise<OpsServer> {
  const { host, port, metrics, health, log } = options;
  const read = shared(options.status);
  const status = () => unlessAborted(read(), AbortSignal.timeout(timeoutMs));
  const group = (id: string) => unlessAborted(options.group(id), AbortSignal.timeout(timeoutMs));
  const statusOrNull = () =>
    status().catch((error: Error) => {
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

  type Answer = (reply: FastifyReply) => unknown;
  const readiness: Answer = (reply) => {
    const judged = judge(health());
    return reply.code(judged.ready ? 200 : 503).send(judged);
  };
  const measures: Answer = async (reply) =>
    reply.type(metrics.contentType).send(await metrics.render(await statusOrNull(), health()));
  const statusJson: Answer = async (reply) => reply.send(await status());
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
  app.get('/metrics', (_request, reply) => measures(reply));
  app.get('/api/status', (_request, reply) => statusJson(reply));
  app.get<{ Params: { id: string } }>('/api/groups/:id', ({ params }, reply) => groupJson(params.id, reply));
  app.get<GroupRoute>('/groups/:id', ({ params, query }, reply) =>
    query.format === 'json' ? groupJson(params.id, reply) : groupPage(params.id, '../', reply),
  );
  // All that the page links to is found under its own address too: behind a prefix, it does not know where the rest is.
  app.get<{ Querystring: Record<string, unknown> }>('/', async ({ query }, reply) => {
    if (typeof query.group === 'string') {
      return await (query.format === 'json' ? groupJson(query.group, reply) : groupPage(query.group, '', reply));
    }
    const answer = formats.get(query.format);
    if (answer !== undefined) return answer(reply);
    const shown = await statusOrNull();
    return await reply
      .code(shown === null ? 503 : 200)
      .type(htmlType)
      .send(renderPage(shown, health(), viewOf(query)));
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

/** Calls `read` once for all callers that arrive while it runs or shortly after. */
function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let last: { readonly value: Promise<T>; endedAt: number } | null = null;
  return () => {
    if (last !== null && performance.now() - last.endedAt < sharedForMs) return last.value;
    const reading = { value: read(), endedAt: Number.POSITIVE_INFINITY };
    last = reading;
    reading.value.then(
      () => {
        reading.endedAt = performance.now();
      },
      () => {
        last = null;
      },
    );
    return reading.value;
  };
}
