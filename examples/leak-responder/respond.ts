/** Rotates a group's link at once when something outside says that it leaked: `POST /leaked/vip`, on loopback. */
import { createServer } from 'node:http';
import { createRotationClient } from 'invite-rotator';

const client = createRotationClient({ connection: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' });

createServer(async ({ method, url }, response) => {
  const group = /^\/leaked\/([a-z0-9_-]+)$/.exec(url ?? '')?.[1];
  if (method !== 'POST' || group === undefined) return void response.writeHead(404).end();
  const asked = await client
    .request(group, { reason: 'leaked', requestedBy: 'leak-responder' })
    .catch((error) => error);
  response
    .writeHead(asked instanceof Error ? 422 : 202)
    .end(`${asked instanceof Error ? asked.message : asked.requestId}\n`);
}).listen(Number(process.env.PORT ?? 8081), '127.0.0.1');
