/** What kind of server Redis is: what keeps the program from working with it, and what puts data at risk. */
import type { RedisClient } from './scripts.ts';

export interface Inspection {
  /** What keeps the program from working with this server, or null. */
  readonly problem: string | null;
  readonly warnings: readonly string[];
}

/** Managed services may forbid `config`. */
type Server = Pick<RedisClient, 'info' | 'config'>;

const minVersion = [6, 2] as const;

/** In a cluster: the first problem of any primary, and each warning once. */
export async function inspectRedis(client: RedisClient): Promise<Inspection> {
  const isCluster = 'nodes' in client;
  const servers = isCluster ? client.nodes('master') : [client];
  const all = await Promise.all(servers.map((server) => inspectServer(server, isCluster)));
  return {
    problem: all.find(({ problem }) => problem !== null)?.problem ?? null,
    warnings: [...new Set(all.flatMap(({ warnings }) => warnings))],
  };
}

/** `isNode`: it was reached as a node of a cluster. */
export async function inspectServer(server: Server, isNode = false): Promise<Inspection> {
  const info = await server.info();
  const warnings: string[] = [];
  const policy = field(info, 'maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    warnings.push(`Redis may evict keys (maxmemory-policy ${policy}): set it to noeviction`);
  }
  const saves = field(info, 'aof_enabled') === '0' ? await savesSnapshots(server) : null;
  if (saves === false) {
    warnings.push('Redis saves nothing to disk: a restart loses every link and every job; set appendonly to yes');
  } else if (saves) {
    warnings.push('Redis saves only snapshots: a crash loses the newest links and jobs; set appendonly to yes');
  }
  return { problem: serverProblem(info, isNode) ?? replicaProblem(info), warnings };
}

/** Why a command that writes cannot use this server, or null. A cluster's client finds the primary itself. */
export async function writeProblem(client: RedisClient): Promise<string | null> {
  return 'nodes' in client ? null : replicaProblem(await client.info('replication'));
}

function replicaProblem(info: string): string | null {
  if (field(info, 'role') !== 'slave') return null;
  const primary = `${field(info, 'master_host')}:${field(info, 'master_port')}`;
  return `this Redis is a replica and takes no writes: name its primary (${primary}) instead`;
}

function serverProblem(info: string, isNode: boolean): string | null {
  const version = field(info, 'redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < minVersion[0] || (major === minVersion[0] && minor < minVersion[1])) {
    return `Redis ${version} is too old: ${minVersion.join('.')} or newer is needed`;
  }
  const mode = field(info, 'redis_mode');
  if (mode === 'sentinel') return 'this is a Redis Sentinel: name it under redis.sentinels in the file';
  if (mode === 'cluster' && !isNode) {
    return 'this Redis is a node of a cluster: name it under redis.cluster in the file';
  }
  return null;
}

function field(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
}

/** Null if the server does not say. */
async function savesSnapshots(server: Server): Promise<boolean | null> {
  try {
    const [, save] = (await server.config('GET', 'save')) as string[];
    return save === undefined ? null : save !== '';
  } catch {
    return null;
  }
}
