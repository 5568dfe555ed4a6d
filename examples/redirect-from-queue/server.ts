/** `GET /join/vip` redirects to the live link of `vip`, from a results queue: for a server or a store of your own. */
import { createServer } from 'node:http';
import { consumeLinks } from 'invite-rotator';
import { Redis } from 'ioredis';

const { REDIS_URL = 'redis://127.0.0.1:6379', PREFIX = 'bull', QUEUE = 'invite-links', PORT = '8080' } = process.env;
const connection = new Redis(REDIS_URL, { maxRetriesPerRequest: null });
/** Hash: group -> its current link. Any store does, in which a link survives a restart. */
const links = `${PREFIX}:redirect-from-queue:links`;
const handler = async ({ group, inviteLink }: { group: string; inviteLink: string }) => {
  await connection.hset(links, group, inviteLink);
};
await consumeLinks({ connection, prefix: PREFIX, queue: QUEUE, handler }).ready();

createServer(async ({ url = '' }, response) => {
  const [, group = ''] = /^\/join\/([a-z0-9_-]+)$/.exec(url) ?? [];
  const link = await connection.hget(links, group);
  if (link === null) return void response.writeHead(404).end('No such group.\n');
  response.writeHead(302, { location: link, 'cache-control': 'no-store' }).end();
}).listen(Number(PORT), '127.0.0.1');
