/** What the proxies of the tests do with their sockets. */
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';

/** The end of one is the end of the other; each is in `open` until then. */
export function tie(client: Socket, target: Socket, open: Set<Socket>): void {
  open.add(client).add(target);
  for (const [from, to] of [
    [client, target],
    [target, client],
  ] as const) {
    from.on('error', () => {});
    from.on('close', () => {
      open.delete(from);
      to.destroy();
    });
  }
}

/** On a free port of loopback; returns which. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}
