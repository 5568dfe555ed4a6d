/** A server that redirects every request to one constant link: what a redirect costs without a lookup. */
import { createServer } from 'node:http';

const location = 'https://chat.whatsapp.com/CODE';
const headers = { location, 'cache-control': 'no-store', 'content-length': '0' };
const host = '127.0.0.1';

const server = createServer((_request, response) => void response.writeHead(302, headers).end());
server.listen(0, host, () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`http://${host}:${address?.port}`);
});
