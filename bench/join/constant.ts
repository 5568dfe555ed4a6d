/** A server that redirects every request to one constant link: what a redirect costs without a lookup. */
import { createServer } from 'node:http';
import fastify from 'fastify';

const location = 'https://chat.whatsapp.com/CODE';
const headers = { location, 'cache-control': 'no-store', 'content-length': '0' };
const host = '127.0.0.1';

if (process.env.KIND === 'fastify') {
  const app = fastify();
  app.get('/join/:group', (_request, reply) => reply.header('cache-control', 'no-store').redirect(location, 302));
  console.log(await app.listen({ host, port: 0 }));
} else {
  const server = createServer((_request, response) => void response.writeHead(302, headers).end());
  server.listen(0, host, () => {
    const address = server.address();
    if (typeof address === 'object') console.log(`http://${host}:${address?.port}`);
  });
}
