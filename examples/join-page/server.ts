/**
 * Serves stable addresses: `GET /join/vip` redirects to the current link of the group `vip`, and `GET /groups/vip` is a
 * page to print, with that address as a QR code. The links come from `consumeLinks` and are stored in Redis.
 *
 *   REDIS_URL    default redis://127.0.0.1:6379
 *   PUBLIC_URL   the part before /join/... on the printed page; default http://127.0.0.1:8080
 *   PORT         default 8080; HOST default 127.0.0.1
 *   GROUP_NAMES  JSON, group id -> name on the page; default: the id
 *   PREFIX       as redis.prefix in the worker's file; default bull
 *   LINKS_QUEUE  one of the file's results.queues; default invite-links
 */
import { createServer } from 'node:http';
import { consumeLinks } from 'invite-rotator';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { renderPage } from './page.ts';

const env = z
  .object({
    REDIS_URL: z.string().default('redis://127.0.0.1:6379'),
    PUBLIC_URL: z.url().default('http://127.0.0.1:8080'),
    PORT: z.coerce.number().int().default(8080),
    HOST: z.string().default('127.0.0.1'),
    GROUP_NAMES: z
      .string()
      .default('{}')
      .transform((json) => z.record(z.string(), z.string()).parse(JSON.parse(json))),
    PREFIX: z.string().default('bull'),
    LINKS_QUEUE: z.string().default('invite-links'),
  })
  .parse(process.env);

const redis = new Redis(env.REDIS_URL, { maxRetriesPerRequest: null });
redis.on('error', (error) => console.error(`Redis: ${error.message}`));
/** Hash: group -> its current link. */
const linksKey = `${env.PREFIX}:join-page:links`;

const consumer = consumeLinks({
  connection: redis,
  prefix: env.PREFIX,
  queue: env.LINKS_QUEUE,
  handler: async ({ group, inviteLink }) => {
    await redis.hset(linksKey, group, inviteLink);
  },
});

const server = createServer(async ({ method, url = '/' }, response) => {
  // Neither a browser nor a proxy may cache a link that can be replaced.
  response.setHeader('cache-control', 'no-store');
  if (method !== 'GET' && method !== 'HEAD') return void response.writeHead(405, { allow: 'GET, HEAD' }).end();
  const [, area, group = ''] =
    /^\/(join|groups)\/([a-z0-9][a-z0-9_-]{0,63})$/.exec(new URL(url, env.PUBLIC_URL).pathname) ?? [];
  const link = area === undefined ? null : await redis.hget(linksKey, group);
  if (link === null) return void response.writeHead(404, { 'content-type': 'text/plain' }).end('No such group.\n');
  if (area === 'join') return void response.writeHead(302, { location: link }).end();
  const page = await renderPage(env.GROUP_NAMES[group] ?? group, new URL(`/join/${group}`, env.PUBLIC_URL).href);
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
});

await consumer.ready();
server.listen(env.PORT, env.HOST, () => console.log(`join page at http://${env.HOST}:${env.PORT}`));

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, async () => {
    server.close();
    await consumer.close();
    redis.disconnect();
  });
}
