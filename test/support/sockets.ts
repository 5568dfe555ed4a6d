/** Sockets of the test proxies. */
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';

/** Each socket ends when the other does, and is in `open` until then. */
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
