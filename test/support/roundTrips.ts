/**
 * Counts the round trips of a client: commands are held back until the caller has nothing else to send, then sent together,
 * and the next ones only once all of these were answered. So the count depends on which command needs the reply to which
 * other one, and not on the speed of the machine.
 */
import type { Redis } from 'ioredis';

export interface Traffic {
  readonly roundTrips: number;
  /** Sent by the client, without those inside scripts. */
  readonly commands: number;
}

/** Turns of the event loop without a new command after which the caller is waiting for replies. */
const quietTurns = 3;

export async function trafficOf(redis: Redis, run: () => Promise<unknown>): Promise<Traffic> {
  const send = redis.sendCommand;
  let held: { readonly args: Parameters<typeof send>; readonly promise: Promise<unknown> }[] = [];
  let roundTrips = 0;
  let commands = 0;
  let isDone = false;
  redis.sendCommand = (...args: Parameters<typeof send>) => {
    commands += 1;
    const [{ promise }] = args;
    held.push({ args, promise });
    return promise;
  };
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const finished = run().finally(() => {
    isDone = true;
  });
  finished.catch(() => {});
  try {
    while (!isDone) {
      for (let quiet = 0, before = commands; quiet < quietTurns; quiet++, before = commands) {
        await turn();
        if (commands !== before) quiet = -1;
      }
      if (held.length === 0) continue;
      roundTrips += 1;
      const sent = held;
      held = [];
      for (const { args } of sent) Reflect.apply(send, redis, args);
      await Promise.allSettled(sent.map(({ promise }) => promise));
    }
  } finally {
    redis.sendCommand = send;
  }
  await finished;
  return { roundTrips, commands };
}
