/**
 * What operators see over HTTP: health, readiness, metrics, and the status as JSON and as a page. Reads only; holds no
 * link, code or token. Listens on loopback unless told otherwise.
 */
import type { Server } from 'node:http';
import fastify from 'fastify';
import type { Logger } from '../log.ts';
import { isConnectionError } from '../redis/errors.ts';
import type { Status } from '../status/status.ts';
import type { Metrics } from './metrics.ts';
import { renderPage } from './page.ts';
import { securityPolicy } from './pageAssets.ts';
import { type Health, judge } from './readiness.ts';

export interface OpsOptions {
  readonly host: string;
  /** 0: any that is free. */
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

/** Reading every group takes time: whoever asks within this time gets the same answer. */
const freshMs = 2_000;
/** How long a request waits for Redis. */
const patienceMs = 3_000;

export async function startOpsServer(options: OpsOptions): Promise<OpsServer> {
  const { host, port, metrics, health, log } = options;
  const status = withPatience(shared(options.status));
  /** null: Redis cannot be read. */
  const statusOrNull = () =>
    status().catch((error: Error) => {
      report(error);
      return null;
    });
  // Trouble with Redis is told once, by its client.
  const report = (error: Error) =>
    log[isConnectionError(error) ? 'debug' : 'warn']({ event: 'ops.error', err: error }, 'the status cannot be read');
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
    void reply.code(503).type('text/plain').send('Redis cannot be read now.\n');
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
    const read = await statusOrNull();
    return reply
      .code(read === null ? 503 : 200)
      .type('text/html; charset=utf-8')
      .send(renderPage(read, judge(health()), view));
  });

  await app.ready();
  await listen(app.server, host, port);
  return {
    url: urlOf(app.server, host),
    async close() {
      app.server.close();
      // Connections that ask nothing must not hold up the end: browsers open some ahead of time.
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

/**
 * Not by fastify's own `listen`: for its log it asks for the machine's addresses, which a hardened system may refuse, and that
 * would end the process.
 */
function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function urlOf(server: Server, host: string): string {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** One reading for all who ask while it is under way or shortly after. */
function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let last: { value: Promise<T>; endedAt: number | null } | null = null;
  return () => {
    const usable = last !== null && (last.endedAt === null || performance.now() - last.endedAt < freshMs);
    if (last !== null && usable) return last.value;
    const mine: NonNullable<typeof last> = { value: read(), endedAt: null };
    last = mine;
    mine.value.then(
      () => {
        mine.endedAt = performance.now();
      },
      () => {
        last = null;
      },
    );
    return mine.value;
  };
}

function withPatience<T>(read: () => Promise<T>): () => Promise<T> {
  return async () => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = Object.assign(new Error(`no answer within ${patienceMs} ms`), { code: 'ETIMEDOUT' });
      timer = setTimeout(() => reject(error), patienceMs);
    });
    try {
      return await Promise.race([read(), late]);
    } finally {
      clearTimeout(timer);
    }
  };
}
