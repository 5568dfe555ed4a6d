/** A process of its own between a client and Redis: delivers everything a millisecond late, in both directions, in order. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { z } from 'zod';

const env = z.object({ REDIS_PATH: z.string(), DELAY_MS: z.coerce.number() }).parse(process.env);

function pass(from: Socket, to: Socket): void {
  const held: { readonly at: number; readonly piece: Buffer }[] = [];
  const deliver = () => {
    while (held[0] !== undefined && held[0].at <= performance.now()) to.write(held.shift()?.piece ?? '');
    if (held.length > 0) setImmediate(deliver);
  };
  from.on('data', (piece) => {
    held.push({ at: performance.now() + env.DELAY_MS, piece: piece as Buffer });
    if (held.length === 1) setImmediate(deliver);
  });
  from.on('error', () => {});
  from.on('close', () => to.destroy());
}

const server = createServer({ noDelay: true }, (client) => {
  const target = connect(env.REDIS_PATH);
  pass(client, target);
  pass(target, client);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.once('SIGTERM', () => process.exit(0));
process.stdout.write(`${(server.address() as { port: number }).port}\n`);
