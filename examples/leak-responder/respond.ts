/** Rotates a group's link as soon as another system reports a leak: `POST /leaked/vip`, on loopback only. */
import { createServer } from 'node:http';
import { createRotationClient } from 'invite-rotator';

const { REDIS_URL = 'redis://127.0.0.1:6379', PREFIX = 'bull', PORT = '8081' } = process.env;
const client = createRotationClient({ connection: REDIS_URL, prefix: PREFIX });

createServer(async ({ method, url }, response) => {
  const group = /^\/leaked\/([a-z0-9_-]+)$/.exec(url ?? '')?.[1];
  if (method !== 'POST' || group === undefined) return void response.writeHead(404).end();
  const asked = client.request(group, { reason: 'leaked', requestedBy: 'leak-responder' });
  const [status, text] = await asked.then(
    ({ requestId }) => [202, requestId],
    (error) => [422, error.message],
  );
  response.writeHead(status).end(`${text}\n`);
}).listen(Number(PORT), '127.0.0.1');
