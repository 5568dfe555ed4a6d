/**
 * The HTTP server for operators: health, readiness, metrics, and the status as JSON and as a page. Read-only; serves no
 * link, code or token.
 */
import fastify from 'fastify';
import { unlessAborted } from '../abort.ts';
import type { Logger } from '../log.ts';
import { isConnectionError } from '../redis/errors.ts';
import type { Status } from '../status/status.ts';
import { listen, urlOf } from '../web/listen.ts';
import type { Metrics } from './metrics.ts';
import { renderPage, securityPolicy } from './page.ts';
import { type Health, judge } from './readiness.ts';

export interface OpsOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly metrics: Metrics;
  readonly health: () => Health;
  /** Rejects while Redis cannot be read. */
  readonly status: () => Promise<Status>;
  readonly log: Logger;
}

export interface OpsServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Reading every group takes time, so a reading is shared by all requests that arrive within this time. */
const sharedForMs = 2_000;
/** How long a request waits for Redis. */
const timeoutMs = 3_000;

export async function startOpsServer(options: OpsOptions): Promise<OpsServer> {
  const { host, port, metrics, health, log } = options;
  const read = shared(options.status);
  const status = () => unlessAborted(read(), AbortSignal.timeout(timeoutMs));
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

  app.get('/healthz', () => ({ alive: true }));
  app.get('/readyz', (_request, reply) => {
    const readiness = judge(health());
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.render(await statusOrNull(), health())),
  );
  app.get('/api/status', async () => await status());
  app.get('/', async (request, reply) => {
    const { q, page } = request.query as Record<string, unknown>;
    const view = { search: typeof q === 'string' ? q.slice(0, 100) : '', page: Number(page) || 1 };
    const shown = await statusOrNull();
    return reply
      .code(shown === null ? 503 : 200)
      .type('text/html; charset=utf-8')
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
