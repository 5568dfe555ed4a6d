/** Listening on a host and port, for the servers of this program. */
import type { Server } from 'node:http';
import { formatPlace } from '../address.ts';

/** Rejects if the address is in use or not of this machine. */
export function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

export function urlOf(server: Server, host: string): string {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return `http://${formatPlace(host, port)}`;
}
