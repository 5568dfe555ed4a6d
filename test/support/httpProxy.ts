/** A real HTTP proxy on loopback. It makes tunnels (CONNECT), or refuses them as it is told to. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface HttpProxy {
  readonly port: number;
  /** `host:port` of each tunnel that was asked for. */
  readonly asked: string[];
  /** The user and password of each, as `user:password`. */
  readonly logins: (string | null)[];
}

/** `answer`: a status that refuses every tunnel, `hangUp`, or `silence`. */
export async function startHttpProxy(answer: number | 'hangUp' | 'silence' = 200): Promise<HttpProxy> {
  const proxy = { port: 0, asked: [] as string[], logins: [] as (string | null)[] };
  const sockets = new Set<Socket>();
  const server = createServer((_request, response) => response.writeHead(400).end());
  server.on('connection', (socket) => sockets.add(socket));
  server.on('connect', (request, client, head) => {
    const socket = client as Socket;
    socket.on('error', () => {});
    proxy.asked.push(request.url ?? '');
    const [, login] = /^Basic (.*)$/.exec(request.headers['proxy-authorization'] ?? '') ?? [];
    proxy.logins.push(login === undefined ? null : Buffer.from(login, 'base64').toString());
    if (answer === 'silence') return;
    if (answer === 'hangUp') return void socket.destroy();
    if (answer !== 200) return void socket.end(`HTTP/1.1 ${answer} No\r\nContent-Length: 0\r\n\r\n`);
    const { hostname, port } = new URL(`http://${request.url}`);
    const target = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) }, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      target.write(head);
      socket.pipe(target).pipe(socket);
    });
    target.on('error', () => socket.destroy());
    socket.on('close', () => target.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  proxy.port = (server.address() as AddressInfo).port;
  return proxy;
}
