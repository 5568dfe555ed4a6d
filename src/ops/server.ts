/**
 * The HTTP server for operators: health, readiness, metrics, and the status as JSON and as a page. Read-only; serves no
 * link, code or token.
 */
import { unlessAborted } from '../abort.ts';
import type { Logger } from '../log.ts';
import { isConnectionError } from '../redis/errors.ts';
import type { GroupDetail } from '../status/group.ts';
import type { StatusReader } from '../status/status.ts';
import { listen, urlOf } from '../web/listen.ts';
import { type Answer, type Asked, createSite, type Handler, html, json, plainText } from '../web/site.ts';
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
  const readiness = () => {
    const judged = judge(health());
    return json(judged.ready ? 200 : 503, judged);
  };
  const measures = async () => ({
    headers: { 'content-type': metrics.contentType },
    body: await metrics.render(await orNull(options.status.readAll()), health(), options.instances()),
  });
  const statusJson = async ({ query }: Asked) => {
    const view = viewOf(query);
    const status = await inTime(options.status.read(view, pageSizes.json));
    const { number, pages } = status.page;
    const next = number < pages ? addressOf({ ...view, page: number + 1 }, query) : null;
    return json(200, { ...status, page: { ...status.page, next } });
  };
  const formats = new Map<unknown, Handler>([
    ['json', statusJson],
    ['metrics', measures],
    ['readiness', readiness],
  ]);

  async function groupJson(id: string): Promise<Answer> {
    const shown = await group(id);
    return shown === null ? json(404, { error: 'no group in the configuration file has this id' }) : json(200, shown);
  }

  async function groupPage(id: string, home: string): Promise<Answer> {
    const shown = await group(id).catch((error: Error) => {
      report(error);
      return 'unreadable' as const;
    });
    const code = shown === null ? 404 : shown === 'unreadable' ? 503 : 200;
    return html(code, renderGroupPage(id, shown ?? 'unknown', home));
  }

  // All that the page links to is found under its own address too: behind a prefix, it does not know where the rest is.
  async function home(asked: Asked): Promise<Answer> {
    const { query } = asked;
    if (typeof query.group === 'string') {
      return await (query.format === 'json' ? groupJson(query.group) : groupPage(query.group, ''));
    }
    const answer = formats.get(query.format);
    if (answer !== undefined) return answer(asked);
    const view = viewOf(query);
    const shown = await orNull(options.status.read(view, pageSizes.html));
    return html(shown === null ? 503 : 200, renderPage(shown, health(), view));
  }

  const notFound = plainText(404, 'Not found.\n');
  const server = createSite({
    handlers: new Map<string, Handler>([
      ['/', home],
      ['/healthz', () => json(200, { alive: true })],
      ['/readyz', readiness],
      ['/metrics', measures],
      ['/api/status', statusJson],
      ['/api/groups/:name', ({ name }) => groupJson(name)],
      ['/groups/:name', ({ name, query }) => (query.format === 'json' ? groupJson(name) : groupPage(name, '../'))],
    ]),
    headers: {
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'content-security-policy': securityPolicy,
      'referrer-policy': 'no-referrer',
    },
    notFound,
    wrongMethod: notFound,
    failed(error) {
      report(error);
      return plainText(503, 'Redis cannot be read.\n');
    },
  });
  await listen(server, host, port);
  return {
    url: urlOf(server, host),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      // Browsers open connections ahead of time; an idle one must not delay the shutdown.
      server.closeAllConnections();
      await closed;
    },
  };
}
