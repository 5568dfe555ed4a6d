/** Starts everything that a storm needs: Redis, the network to it, the stand-in, consumers, producers and workers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type StandIn, startStandIn } from '../../dev/standin/standIn.ts';
import { findServer } from '../../src/localRedis/findServer.ts';
import { createFaultProxy, type FaultProxy } from '../support/faultProxy.ts';
import { freePort, startRedisServer } from '../support/redisServer.ts';
import { type Consumers, startConsumers } from './consumers.ts';
import { type Copies, createCopies } from './copies.ts';
import { createEdits, type Edits } from './edits.ts';
import { newFile, toYaml } from './file.ts';
import { type Fleet, startFleet } from './fleet.ts';
import { createOneOffs, type OneOffs } from './oneOffs.ts';
import { type Pages, readPages } from './pages.ts';
import type { Random } from './random.ts';
import { instanceNames, jids, type Load, latency, queues, tokens, workers } from './settings.ts';

export interface Stage {
  readonly port: number;
  readonly standIn: StandIn;
  /** The proxy between all workers and Redis. */
  readonly proxy: FaultProxy;
  /** One proxy for each worker, between the worker and `proxy`. */
  readonly proxies: readonly FaultProxy[];
  readonly consumers: Consumers;
  readonly oneOffs: OneOffs;
  readonly edits: Edits;
  readonly copies: Copies;
  readonly fleet: Fleet;
  readonly pages: Pages;
  /** The current content of the file, as YAML. */
  text(): string;
  stopRedis(): Promise<void>;
  startRedis(): Promise<void>;
  /** Makes Redis refuse writes for that time: its memory is full or it has too few replicas. */
  refuseWrites(ms: number): Promise<void>;
  /** Empties Redis. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface StageOptions {
  readonly cli: string;
  readonly random: Random;
  readonly verify: boolean;
  readonly load: Load;
}

export async function setStage({ cli, random, verify, load }: StageOptions): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-storm-'));
  const binary = await findServer({ env: process.env, say: (line) => console.error(line) });
  const port = await freePort();
  const launch = () => startRedisServer({ binary, folder, port, appendOnly: true });
  let server = await launch();
  const proxy = await createFaultProxy(port);
  const proxies = await Promise.all(Array.from({ length: workers }, () => createFaultProxy(proxy.port)));
  const standIn = await startStandIn({
    instances: instanceNames,
    tokens: tokens.map((token) => ({ token })),
    groups: jids.map((jid) => ({ jid })),
    limit: { window: random.pick(['sliding', 'fixed']), perMs: load.limit.perMs, limit: load.limit.max },
    countAt: random.pick(['arrival', 'answer']),
    latency,
    random,
  });
  const edits = createEdits(newFile(random() < 0.5), standIn, random);
  const text = () => toYaml(edits.file, { baseUrl: standIn.url, verify, load });

  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  redis.on('error', () => {});
  const oneOffs = await createOneOffs({ redis, random, file: () => edits.file, codeOf: standIn.codeOf });
  const consumers = await startConsumers(queues, port);
  const reload = (worker: number) => fleet.reload(worker);
  const copies = createCopies({ folder, workers, text: text(), random, reload });
  const fleet = startFleet({
    cli,
    size: workers,
    envOf: (index) => ({
      REDIS_URL: `redis://127.0.0.1:${proxies[index]?.port}`,
      TOKEN: tokens[0] ?? '',
      OTHER_TOKEN: tokens[1] ?? '',
      ROTATOR_CONFIG: copies.pathOf(index),
      LOG_LEVEL: 'debug',
    }),
  });
  const pages = readPages(fleet);
  /** A Redis that refuses writes cannot be emptied and set up again. */
  let last = Promise.resolve();
  const alone = (act: () => Promise<void>) => {
    last = last.then(act);
    return last;
  };

  return {
    port,
    standIn,
    proxy,
    proxies,
    consumers,
    oneOffs,
    edits,
    copies,
    fleet,
    pages,
    text,
    stopRedis: () => server.stop(),
    async startRedis() {
      server = await launch();
    },
    refuseWrites(ms) {
      const [setting, value, usual] = random() < 0.5 ? ['maxmemory', '1', '0'] : ['min-replicas-to-write', '1', '0'];
      return alone(async () => {
        await redis.config('SET', setting, value);
        await sleep(ms);
        // A server that was restarted meanwhile has lost the setting. Resetting it does no harm.
        await redis.config('SET', setting, usual);
      });
    },
    flush: () =>
      alone(async () => {
        await redis.flushall();
        await oneOffs.skipJobIds();
      }),
    async close() {
      await pages.stop();
      await copies.close();
      fleet.destroy();
      await consumers.close();
      await oneOffs.close();
      redis.disconnect();
      await Promise.all([...proxies, proxy].map((each) => each.close()));
      await standIn.close();
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
