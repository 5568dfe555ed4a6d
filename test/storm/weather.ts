/** Decides what goes wrong in a storm, and when: faults of the API, the processes, Redis and the network to Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../../dev/standin/faults.ts';
import type { StandIn } from '../../dev/standin/standIn.ts';
import type { FaultProxy } from '../support/faultProxy.ts';
import type { Fleet } from './fleet.ts';
import type { Incident } from './history.ts';
import type { Random } from './random.ts';

/** The share of requests that meet a fault. */
const faultShare = 0.3;

export interface Counts {
  kills: number;
  freezes: number;
  restarts: number;
  partitions: number;
  redisCuts: number;
  redisRestarts: number;
  humans: number;
  edits: number;
  wipes: number;
  refusals: number;
  flushes: number;
  poisonings: number;
}

export function noCounts(): Counts {
  return {
    kills: 0,
    freezes: 0,
    partitions: 0,
    restarts: 0,
    redisCuts: 0,
    redisRestarts: 0,
    humans: 0,
    edits: 0,
    wipes: 0,
    refusals: 0,
    flushes: 0,
    poisonings: 0,
  };
}

export interface WeatherOptions {
  readonly random: Random;
  readonly standIn: StandIn;
  readonly fleet: Fleet;
  /** The proxy between all workers and Redis. */
  readonly proxy: FaultProxy;
  /** One proxy for each worker, between the worker and `proxy`. */
  readonly proxies: readonly FaultProxy[];
  readonly restartRedis: () => Promise<void>;
  /** Makes Redis refuse writes for that time. */
  readonly refuseWrites: (ms: number) => Promise<void>;
  /** Empties Redis. */
  readonly flush: () => Promise<void>;
  /** Edits the file. */
  readonly edit: () => void;
  /** Edits the file so that the groups being reset are no longer scheduled, or due later. */
  readonly shelve: () => void;
  /** Empties a queue, as from a dashboard, and returns its name. */
  readonly wipe: () => Promise<string>;
  readonly jids: readonly string[];
  readonly counts: Counts;
  /** Receives every incident. */
  readonly incidents: Incident[];
  /** The maximum delay between a request and its effect, ms. */
  readonly maxEffectDelayMs: number;
  /** Whether the storm was stopped early. No more faults may be injected then. */
  readonly isOver: () => boolean;
}

/** Refusals of one group with messages that the program does not know or that blame its instance. */
const poisons: readonly Fault[] = [
  answer(403, 'Forbidden', null),
  answer(401, 'not-authorized', null),
  answer(429, 'rate-overlimit', null),
  answer(404, 'Instance not found', null),
  answer(428, 'Connection Closed', null),
  answer(500, 'internal-server-error', null),
  answer(400, 'bad-request', null),
];

function answer(status: number, message: string, effectAfterMs: number | null): Fault {
  return { kind: 'answer', status, body: { success: false, error: { message } }, effectAfterMs };
}

/** Draws any fault that the stand-in can inject into a call for a group. */
export function drawFault(random: Random, maxEffectDelayMs: number): Fault | null {
  if (random() >= faultShare) return null;
  const later = Math.floor(random.between(50, maxEffectDelayMs));
  return random.pick<Fault>([
    { kind: 'serverError', effect: false },
    { kind: 'serverError', effect: true },
    { kind: 'serverError', effect: true, status: 502, html: true },
    { kind: 'serverError', effect: false, status: 503, html: true },
    // Unknown messages, messages about timeouts, and invalid or old codes.
    answer(408, 'Request Timeout', 0),
    answer(404, 'info query timed out', later),
    answer(404, 'item-not-found', 0),
    answer(409, 'conflict', null),
    { kind: 'answer', status: 201, body: '', effectAfterMs: 0 },
    { kind: 'answer', status: 200, body: { success: true, inviteCode: 'undefined' }, effectAfterMs: 0 },
    { kind: 'repeat', effect: true },
    { kind: 'repeat', effect: false },
    { kind: 'stale', ageMs: 1_500 },
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

/** Injects faults for `forMs`. Resolves when the last incident is over. */
export async function runFaults(options: WeatherOptions, forMs: number): Promise<void> {
  const { random, standIn, fleet, proxy, proxies, counts } = options;
  const until = Date.now() + forMs;
  /** The group whose resets are all refused, and the refusal. */
  let poisoned: { readonly jid: string; readonly fault: Fault } | null = null;
  standIn.faults.random(({ jid, endpoint }) => {
    if (jid === poisoned?.jid && endpoint === 'reset') return poisoned.fault;
    return drawFault(random, options.maxEffectDelayMs);
  });

  const every = async (minMs: number, maxMs: number, act: () => Promise<void> | void) => {
    for (;;) {
      const pauseMs = random.between(minMs, maxMs);
      if (Date.now() + pauseMs >= until) return;
      await sleep(pauseMs);
      if (options.isOver()) return;
      await act();
    }
  };
  const once = async (afterMs: number, act: () => Promise<void>) => {
    if (Date.now() + afterMs >= until) return;
    await sleep(afterMs);
    if (!options.isOver()) await act();
  };
  /** Returns what ends the incident. The checker may look before that. */
  const begin = (kind: Incident['kind']) => {
    const incident = { kind, from: Date.now(), to: Number.POSITIVE_INFINITY };
    options.incidents.push(incident);
    return () => {
      incident.to = Date.now();
    };
  };
  const note = async (kind: Incident['kind'], how: () => Promise<void> | void) => {
    const end = begin(kind);
    await how();
    end();
  };
  /** Waits up to a second for a reset in flight, because faults during a reset matter most. */
  const untilReset = async () => {
    const isInFlight = () =>
      standIn.log.all.slice(-50).some(({ endpoint, end }) => endpoint === 'reset' && end === null);
    for (let waited = 0; waited < 1_000 && !isInFlight(); waited += 5) await sleep(5);
  };
  // A frozen or partitioned worker meets no other fault until it returns, since its return is the dangerous part. One worker
  // always stays available.
  const away = new Set<number>();
  const absences: Promise<void>[] = [];
  const present = () => [...proxies.keys()].filter((index) => !away.has(index));
  const sendAway = async (how: (index: number) => Promise<void>) => {
    await untilReset();
    const index = random.pick(present());
    if (!present().some((other) => other !== index && fleet.isUp(other))) return;
    away.add(index);
    absences.push(how(index).finally(() => away.delete(index)));
  };
  const partition = (ms: number) =>
    sendAway((index) => {
      counts.partitions += 1;
      return note('partition', async () => {
        await proxies[index]?.refuse();
        await sleep(ms);
        await proxies[index]?.heal();
      });
    });
  const isWorking = (index: number) => !away.has(index) && fleet.isUp(index);
  /** Records the times in which every worker is killed, starting, frozen or partitioned. */
  const watchAbsence = () => {
    let end: (() => void) | null = null;
    const timer = setInterval(() => {
      if (![...proxies.keys()].some(isWorking)) end ??= begin('noWorker');
      else {
        end?.();
        end = null;
      }
    }, 50);
    return () => {
      clearInterval(timer);
      end?.();
    };
  };
  /** Usually spares the last available worker, because dead links prove nothing while no worker runs. */
  const kill = async (first = () => {}) => {
    await untilReset();
    const working = present().filter(fleet.isUp);
    if (working.length === 0 || (working.length === 1 && random() < 0.85)) return;
    first();
    counts.kills += 1;
    await note('kill', () => fleet.kill(random.pick(working)));
  };
  const shelve = () => {
    counts.edits += 1;
    options.shelve();
  };
  const restart = () => {
    const working = present().filter(fleet.isUp);
    if (working.length < 2) return;
    counts.restarts += 1;
    fleet.restart(random.pick(working));
  };
  // Half of the absences exceed every lock and lease.
  const absenceMs = () => (random() < 0.5 ? random.between(10_500, 16_000) : random.between(500, 4_000));
  const stopWatching = watchAbsence();
  await Promise.all([
    // Long enough for the others to take over its attempts and to rotate again.
    once(3_000, () => partition(25_000)),
    every(5_000, 15_000, () => partition(absenceMs())),
    every(2_000, 8_000, () => (random() < 0.2 ? kill() : kill(shelve))),
    every(4_000, 12_000, () =>
      sendAway((index) => {
        counts.freezes += 1;
        return note('freeze', () => fleet.freeze(index, absenceMs()));
      }),
    ),
    every(8_000, 20_000, restart),
    every(10_000, 25_000, async () => {
      counts.redisCuts += 1;
      await note('cut', async () => {
        if (random() < 0.5) return proxy.cut();
        await proxy.refuse();
        await sleep(random.between(300, 3_000));
        await proxy.heal();
      });
    }),
    every(20_000, 40_000, async () => {
      counts.redisRestarts += 1;
      await note('restart', options.restartRedis);
    }),
    every(15_000, 40_000, async () => {
      counts.refusals += 1;
      await note('refuse', () => options.refuseWrites(random.between(500, 5_000)));
    }),
    // Only half of the one-minute storms empty Redis, so that the other half can check what the program remembers.
    once(random.between(20_000, 100_000), async () => {
      counts.flushes += 1;
      await note('flush', options.flush);
    }),
    once(random.between(5_000, 30_000), async () => {
      counts.poisonings += 1;
      poisoned = { jid: random.pick(options.jids), fault: random.pick(poisons) };
      const forMs = Math.min(random.between(8_000, 20_000), until - Date.now());
      await note('poison', () => sleep(forMs));
      poisoned = null;
    }),
    every(2_000, 6_000, () => {
      counts.humans += 1;
      standIn.resetByHand(random.pick(options.jids));
    }),
    every(500, 3_500, () => {
      counts.edits += 1;
      options.edit();
      // A deployment edits the file and replaces workers within the same second.
      if (random() < 0.4)
        absences.push(sleep(random.between(0, 800)).then(() => (options.isOver() ? undefined : kill())));
    }),
    every(6_000, 15_000, async () => {
      counts.wipes += 1;
      const from = Date.now();
      const queue = await options.wipe();
      options.incidents.push({ kind: 'wipe', from, to: Date.now(), queue });
    }),
  ]);
  await Promise.all(absences);
  stopWatching();
  standIn.faults.random(null);
}
