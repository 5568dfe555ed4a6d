/** What kind of server this is, as far as it tells: what keeps the program from working with it, and what is risky. */
import { Cluster } from 'ioredis';
import type { RedisClient } from './scripts.ts';

export interface RedisFindings {
  /** What keeps the program from working with this server; null: nothing. */
  readonly refusal: string | null;
  /** What an operator should know. */
  readonly warnings: readonly string[];
}

/** `config`: managed services refuse it. */
type Server = Pick<RedisClient, 'info' | 'config'>;

const oldest = [6, 2] as const;

/** Of a cluster, every primary; the first refusal, and each warning once. */
export async function inspectRedis(client: RedisClient): Promise<RedisFindings> {
  const servers = client instanceof Cluster ? client.nodes('master') : [client];
  const all = await Promise.all(servers.map((server) => inspectServer(server, client instanceof Cluster)));
  return {
    refusal: all.find(({ refusal }) => refusal !== null)?.refusal ?? null,
    warnings: [...new Set(all.flatMap(({ warnings }) => warnings))],
  };
}

/** `asCluster`: it was reached as a node of one. */
export async function inspectServer(server: Server, asCluster = false): Promise<RedisFindings> {
  const info = await server.info();
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  const warnings: string[] = [];
  const policy = field('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    warnings.push(`Redis may throw keys away (maxmemory-policy ${policy}): set it to noeviction`);
  }
  if (field('aof_enabled') === '0' && (await savesSnapshots(server)) === false) {
    warnings.push('Redis keeps nothing on disk: a restart forgets every link and every job; set appendonly to yes');
  }
  const refusal = refusalOfServer(field('redis_version') ?? '0', field('redis_mode'), asCluster);
  return { refusal: refusal ?? refusalOfRole(info), warnings };
}

/** What keeps a program that writes from working with this server; null: nothing. Clients of a cluster find the primary. */
export async function refusalOfReplica(client: RedisClient): Promise<string | null> {
  return client instanceof Cluster ? null : refusalOfRole(await client.info('replication'));
}

function refusalOfRole(info: string): string | null {
  if (!/^role:slave\r?$/m.test(info)) return null;
  const [, host] = /^master_host:(.*?)\r?$/m.exec(info) ?? [];
  const [, port] = /^master_port:(.*?)\r?$/m.exec(info) ?? [];
  return `this Redis is a replica and takes no writes: name its primary (${host}:${port}) instead`;
}

function refusalOfServer(version: string, mode: string | undefined, asCluster: boolean): string | null {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
    return `Redis ${version} is too old: ${oldest.join('.')} or newer is needed`;
  }
  if (mode === 'sentinel') return 'this is a Redis Sentinel: name it under redis.sentinels in the file';
  if (mode === 'cluster' && !asCluster)
    return 'this Redis is a node of a cluster: name it under redis.cluster in the file';
  return null;
}

/** null: it does not tell. */
async function savesSnapshots(server: Server): Promise<boolean | null> {
  try {
    const [, save] = (await server.config('GET', 'save')) as string[];
    return save === undefined ? null : save !== '';
  } catch {
    return null;
  }
}
