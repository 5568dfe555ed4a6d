/** Redis servers of a test's own that stand in for each other: watched by three Sentinels, or as a cluster. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { inject, onTestFinished } from 'vitest';
import { freePort, launch, type RedisServer, startRedisServer } from './redisServer.ts';
import { until } from './until.ts';

export const password = 'password-of-the-servers';
export const sentinelPassword = 'password-of-the-sentinels';
export const primaryName = 'links';

export interface RedisGroup {
  /** The servers that clients ask first: Sentinels, or nodes. */
  readonly contacts: readonly { readonly host: string; readonly port: number }[];
  /** Kills the primary that holds that key (in a cluster) with SIGKILL; resolves once another has taken its place. */
  failOver(key: string): Promise<void>;
}

const host = '127.0.0.1';
/** A server that is silent for this long is presumed dead. On a busy machine, one that lives may be silent for a second. */
const deadMs = 2_500;

/** A primary, a replica and three Sentinels. */
export async function startSentinels(): Promise<RedisGroup> {
  const { servers, start, startSentinel, client } = ownServers();
  const first = await start();
  const replica = client(await start('--replicaof', host, String(first.port)), password);
  await until('the replica to follow', () => follows(replica));
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(first.port)));
  const asked = client(sentinels[0]!, sentinelPassword);
  const known = async () => {
    const [reply] = (await asked.call('SENTINEL', 'MASTERS')) as string[][];
    return Object.fromEntries(pairs(reply ?? []));
  };
  await until('the Sentinels to know each other and the replica', async () => {
    const { 'num-slaves': replicas, 'num-other-sentinels': others } = await known();
    return replicas === '1' && others === '2';
  });
  return {
    contacts: sentinels.map(({ port }) => ({ host, port })),
    async failOver() {
      const before = Number((await known()).port);
      kill(servers.find(({ port }) => port === before)!);
      await until('another primary', async () => Number((await known()).port) !== before);
    },
  };
}

function sentinelFile(port: number, folder: string, primaryPort: number): string {
  return `port ${port}
bind ${host}
dir ${folder}
requirepass ${sentinelPassword}
sentinel sentinel-pass ${sentinelPassword}
sentinel monitor ${primaryName} ${host} ${primaryPort} 2
sentinel auth-pass ${primaryName} ${password}
sentinel down-after-milliseconds ${primaryName} ${deadMs}
sentinel failover-timeout ${primaryName} 5000
`;
}

/** Three primaries with a third of the slots and a replica each. */
export async function startCluster(): Promise<RedisGroup> {
  const { start, client } = ownServers();
  const nodes = await Promise.all(
    [0, 1, 2, 3, 4, 5].map(async () => {
      const busPort = await freePort();
      const server = await start(
        ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort)],
        ...['--cluster-node-timeout', String(deadMs), '--cluster-replica-validity-factor', '0'],
      );
      return { server, busPort, redis: client(server, password) };
    }),
  );
  const [first, ...others] = nodes;
  for (const [i, { redis }] of nodes.entries()) await redis.cluster('SET-CONFIG-EPOCH', i + 1);
  for (const { server, busPort } of others) await first!.redis.call('CLUSTER', 'MEET', host, server.port, busPort);
  for (const [i, from, to] of [
    [0, 0, 5_460],
    [1, 5_461, 10_922],
    [2, 10_923, 16_383],
  ] as const) {
    await nodes[i]!.redis.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
  }
  const state = async ({ redis }: (typeof nodes)[number]) =>
    Object.fromEntries(pairs(((await redis.cluster('INFO')) as string).trim().split(/:|\r\n/)));
  const all = async (wanted: Readonly<Record<string, string>>) => {
    const states = await Promise.all(nodes.map(state));
    return states.every((seen) => Object.entries(wanted).every(([field, value]) => seen[field] === value));
  };
  await until('every node to know all', () => all({ cluster_known_nodes: '6', cluster_state: 'ok' }));
  for (const i of [0, 1, 2]) {
    await nodes[i + 3]!.redis.call('CLUSTER', 'REPLICATE', (await nodes[i]!.redis.cluster('MYID')) as string);
  }
  await until('the replicas to follow', async () =>
    (await Promise.all(nodes.slice(3).map(({ redis }) => follows(redis)))).every(Boolean),
  );
  const ownerOf = async (key: string, { redis }: (typeof nodes)[number]) => {
    const slot = await redis.cluster('KEYSLOT', key);
    const ranges = await redis.cluster('SLOTS');
    return ranges.find(([from, to]) => from <= slot && slot <= to)?.[2]?.[1];
  };
  return {
    contacts: nodes.map(({ server }) => ({ host, port: server.port })),
    async failOver(key) {
      const before = await ownerOf(key, first!);
      const dead = nodes.find(({ server }) => server.port === before)!;
      const witness = nodes.find((node) => node !== dead)!;
      dead.redis.disconnect();
      kill(dead.server);
      await until('another primary', async () => {
        const { cluster_state } = await state(witness);
        return (await ownerOf(key, witness)) !== before && cluster_state === 'ok';
      });
    },
  };
}

async function follows(replica: Redis): Promise<boolean> {
  return (await replica.info('replication')).includes('link_status:up');
}

function kill({ child }: RedisServer): void {
  child.kill('SIGKILL');
}

/** Ended, and their folders removed, when the test is over. */
function ownServers() {
  const root = mkdtempSync(join(tmpdir(), 'invite-rotator-redis-'));
  const binary = inject('redisServer');
  const servers: RedisServer[] = [];
  const clients: Redis[] = [];
  /** Includes those that are still starting, because another may have failed meanwhile and ended the test. */
  const starting: Promise<unknown>[] = [];
  const own = (launching: Promise<RedisServer>) => {
    const owned = launching.then((server) => {
      servers.push(server);
      return server;
    });
    starting.push(owned);
    return owned;
  };
  onTestFinished(async () => {
    await Promise.allSettled(starting);
    for (const client of clients) client.disconnect();
    // Killed servers are gone already. Replicas first, so that none of them takes over.
    await Promise.all(servers.toReversed().map((server) => server.stop()));
    rmSync(root, { recursive: true, force: true });
  });
  const newFolder = () => mkdtempSync(join(root, 'server-'));
  const start = (...args: string[]) => {
    const options = { binary, folder: newFolder(), password, appendOnly: true };
    const more = ['--masterauth', password, '--repl-diskless-sync-delay', '0', ...args];
    return own(startRedisServer({ ...options, args: more }));
  };
  return {
    servers,
    start,
    async startSentinel(primaryPort: number) {
      const [port, folder] = [await freePort(), newFolder()];
      const file = join(folder, 'sentinel.conf');
      writeFileSync(file, sentinelFile(port, folder, primaryPort));
      return await own(launch(binary, [file, '--sentinel'], { folder, port, password: sentinelPassword }));
    },
    client({ port }: RedisServer, secret: string) {
      const client = new Redis({ port, password: secret, replyMapping: 'legacy' });
      client.on('error', () => {});
      clients.push(client);
      return client;
    },
  };
}

function pairs(list: readonly string[]): [string, string][] {
  return Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i]!, list[2 * i + 1]!]);
}
