/** A TCP proxy that makes the network between a client and a server fail, in every way that networks do. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { freePort } from './redisServer.ts';

export interface FaultProxy {
  readonly port: number;
  /** Resets every connection; new ones go through. */
  cut(): void;
  /** Resets every connection and refuses new ones. */
  refuse(): Promise<void>;
  /** Swallows everything, on existing connections and on new ones. All stay open, so neither side notices. */
  blackHole(): void;
  /** Holds every piece back for that long, in either direction. */
  delay(ms: number): void;
  /** New connections go through again at once. What was swallowed stays lost, and its connections stay dead. */
  heal(): Promise<void>;
  close(): Promise<void>;
}

/** Between a client and what listens on a loopback port. */
export async function createFaultProxy(targetPort: number): Promise<FaultProxy> {
  const open = new Set<Socket>();
  let swallowing = false;
  let delayMs = 0;

  const server = createServer({ allowHalfOpen: true }, (client) => {
    const target = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const pair = { dead: swallowing };
    join(client, target, pair);
    join(target, client, pair);
  });

  function join(from: Socket, to: Socket, pair: { dead: boolean }): void {
    open.add(from);
    /** Timers of one length fire in order; of two lengths, they need not. */
    let last: Promise<void> = Promise.resolve();
    const pass = (act: () => void) => {
      const held = new Promise((resolve) => setTimeout(resolve, delayMs));
      last = Promise.all([last, held]).then(() => {
        if (!pair.dead) act();
      });
    };
    from.on('data', (chunk) => {
      pair.dead ||= swallowing;
      pass(() => to.write(chunk));
    });
    from.on('end', () => pass(() => to.end()));
    from.on('error', () => {});
    from.on('close', () => {
      open.delete(from);
      if (!pair.dead) to.destroy();
    });
  }

  const reset = () => {
    for (const socket of open) socket.destroy();
  };
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const stopListening = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    reset();
    await closed;
  };

  // One that is refused for a minute must get its port back: a system gives those of `listen(0)` to others meanwhile.
  const port = await freePort();
  await listen(port);
  return {
    port,
    cut: reset,
    refuse: stopListening,
    blackHole() {
      swallowing = true;
    },
    delay(ms) {
      delayMs = ms;
    },
    async heal() {
      swallowing = false;
      delayMs = 0;
      if (!server.listening) await listen(port);
    },
    async close() {
      await stopListening();
      reset();
    },
  };
}
