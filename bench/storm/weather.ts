/** What goes wrong in a storm, and when: faults of the API, of the processes and of the network to Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../../src/standin/faults.ts';
import type { StandIn } from '../../src/standin/standIn.ts';
import type { FaultProxy } from '../../test/support/faultProxy.ts';
import type { Fleet } from './fleet.ts';
import type { Random } from './random.ts';

/** Of all requests. */
const faultShare = 0.3;

export interface Counts {
  kills: number;
  freezes: number;
  restarts: number;
  partitions: number;
  redisCuts: number;
  redisRestarts: number;
  humans: number;
}

export interface WeatherOptions {
  readonly random: Random;
  readonly standIn: StandIn;
  readonly fleet: Fleet;
  /** Between all and Redis. */
  readonly proxy: FaultProxy;
  /** Between each worker and `proxy`. */
  readonly proxies: readonly FaultProxy[];
  readonly restartRedis: () => Promise<void>;
  readonly jids: readonly string[];
  readonly counts: Counts;
  /** Effects come no later than this after the request, ms. */
  readonly latestEffectMs: number;
  /** It is broken off: nothing may happen any more. */
  readonly isOver: () => boolean;
}

/** Every kind of fault that the stand-in knows and that a group's call can meet. */
export function drawFault(random: Random, latestEffectMs: number): Fault | null {
  if (random() >= faultShare) return null;
  const later = Math.floor(random.between(50, latestEffectMs));
  return random.pick<Fault>([
    { kind: 'serverError', effect: false },
    { kind: 'serverError', effect: true },
    { kind: 'serverError', effect: true, status: 502, html: true },
    { kind: 'serverError', effect: false, status: 503, html: true },
    { kind: 'cut', effect: false },
    { kind: 'cut', effect: true },
    { kind: 'silence', effectAfterMs: null },
    { kind: 'silence', effectAfterMs: later },
    { kind: 'lateEffect', effectAfterMs: later },
    {
      kind: 'badBody',
      body: random.pick(['cut', 'html', 'empty', 'successFalse', 'otherGroup', 'oversized', 'trickle']),
    },
    { kind: 'noHeaders' },
    { kind: 'slow', ms: Math.floor(random.between(100, 900)) },
  ]);
}

/** Lets the storm rage until told to stop; resolves when the last trouble is over. */
export async function rage(options: WeatherOptions, forMs: number): Promise<void> {
  const { random, standIn, fleet, proxy, proxies, counts } = options;
  const until = Date.now() + forMs;
  standIn.faults.random(() => drawFault(random, options.latestEffectMs));

  const every = async (leastMs: number, mostMs: number, happen: () => Promise<void> | void) => {
    for (;;) {
      const pauseMs = random.between(leastMs, mostMs);
      if (Date.now() + pauseMs >= until) return;
      await sleep(pauseMs);
      if (options.isOver()) return;
      await happen();
    }
  };
  const once = async (afterMs: number, happen: () => void) => {
    await sleep(afterMs);
    if (!options.isOver()) happen();
  };
  // Whoever is frozen or partitioned is left alone until it is back, as what it does then is the danger; and one works on.
  const away = new Set<number>();
  const absences: Promise<void>[] = [];
  const present = () => [...proxies.keys()].filter((index) => !away.has(index));
  const sendAway = (how: (index: number) => Promise<void>) => {
    if (present().length === 1) return;
    const index = random.pick(present());
    away.add(index);
    absences.push(how(index).finally(() => away.delete(index)));
  };
  const partition = (ms: number) =>
    sendAway(async (index) => {
      counts.partitions += 1;
      await proxies[index]?.refuse();
      await sleep(ms);
      await proxies[index]?.heal();
    });
  // Some for longer than every lock and lease.
  const absenceMs = () => random.between(500, random() < 0.4 ? 16_000 : 4_000);
  await Promise.all([
    // Long enough for the others to take over all that it had begun, and to rotate again.
    once(3_000, () => partition(25_000)),
    every(5_000, 15_000, () => partition(absenceMs())),
    every(1_500, 6_000, () => {
      counts.kills += 1;
      fleet.kill(random.pick(present()));
    }),
    every(4_000, 12_000, () =>
      sendAway((index) => {
        counts.freezes += 1;
        return fleet.freeze(index, absenceMs());
      }),
    ),
    every(8_000, 20_000, () => {
      counts.restarts += 1;
      fleet.restart(random.pick(present()));
    }),
    every(6_000, 15_000, async () => {
      counts.redisCuts += 1;
      if (random() < 0.5) return proxy.cut();
      await proxy.refuse();
      await sleep(random.between(300, 3_000));
      await proxy.heal();
    }),
    every(20_000, 40_000, async () => {
      counts.redisRestarts += 1;
      await options.restartRedis();
    }),
    every(2_000, 6_000, () => {
      counts.humans += 1;
      standIn.resetByHand(random.pick(options.jids));
    }),
  ]);
  await Promise.all(absences);
  standIn.faults.random(null);
}
