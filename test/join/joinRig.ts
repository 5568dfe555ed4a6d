/** The server of stable addresses in this process, on records that a test writes. Asserts nothing itself. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { onTestFinished } from 'vitest';
import { type LinksState, rememberLinks } from '../../src/join/links.ts';
import { type JoinOptions, startJoinServer } from '../../src/join/server.ts';
import { openSource } from '../../src/join/source.ts';
import type { TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
}

/** Sends the path as it is: `fetch` would tidy it up. */
export function request(url: string, path: string, { method = 'GET', headers = {} }: RequestOptions = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const sent = httpRequest({ hostname, port, path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** `url`: of the Redis that it reads, such as a proxy before the tests' own. */
export async function startJoin(
  { prefix, url }: Pick<TestRedis, 'prefix' | 'url'>,
  options: Partial<Omit<JoinOptions, 'links'>> = {},
) {
  const closing = new AbortController();
  const reports: string[] = [];
  const errors: Error[] = [];
  const source = await openSource({ target: { url }, prefix, reread: () => null, signal: closing.signal });
  const links = rememberLinks({
    source,
    signal: closing.signal,
    onAway: (why: string, { known }: LinksState) => reports.push(`away with ${known}: ${why}`),
    onBack: () => reports.push('back'),
  });
  await links.ready;
  const server = await startJoinServer({
    host: '127.0.0.1',
    port: 0,
    publicUrl: 'https://example.org',
    metrics: null,
    titleOf: (group) => group,
    onError: (error) => errors.push(error),
    ...options,
    links,
  });
  onTestFinished(async () => {
    closing.abort();
    await server.close();
  });
  const get = (path: string, options?: RequestOptions) => request(server.url, path, options);
  /** Where the stable address leads, or the status if nowhere. */
  async function leadsTo(group: string): Promise<string | number> {
    const { status, headers } = await get(`/join/${group}`);
    return status === 302 ? (headers.location ?? '') : status;
  }
  /** The same with Redis's answer: on a busy machine, Redis may be missed for a moment. */
  async function fresh(group: string): Promise<string | number> {
    for (;;) {
      await until('Redis to be read', () => links.state().awaySince === null);
      const before = reports.length;
      const target = await leadsTo(group);
      if (reports.length === before) return target;
    }
  }
  return {
    server,
    links,
    /** Each change of what is served, in order. */
    reports,
    /** Why Redis cannot be read now, each reason once, with the number of known links. */
    whyAway: () => reports.slice(reports.lastIndexOf('back') + 1).map((report) => report.replace('away ', '')),
    errors,
    leadsTo,
    fresh,
    get,
    /** A metric's value, or those of all its labels. */
    async metric(name: string): Promise<string[]> {
      const text = (await request(server.metricsUrl, '/metrics')).body.toString();
      return text.split('\n').flatMap((one) => (one.startsWith(`invite_rotator_join_${name}`) ? [one.slice(20)] : []));
    },
  };
}

export const linkOf = (code: string) => `https://chat.whatsapp.com/${code}`;
