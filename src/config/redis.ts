/** Reads the section `redis`: one server, Sentinels or a cluster, and how to get in. */
import type { NodeAddress, RedisConfig, RedisLogin, RedisServers } from './config.ts';
import { found } from './describe.ts';
import { listWanted } from './instances.ts';
import type { Report } from './problems.ts';
import { type MapRead, readMap, valueAt } from './readMap.ts';
import { nodeMap, redisMap, sentinelMap } from './schema/connections.ts';
import { secretSource } from './secrets.ts';

type Section = MapRead<typeof redisMap.shape>;

const at = ['redis'] as const;
const kinds = ['url', 'sentinels', 'cluster'] as const;
/** As Redis Cluster finds it: what stands between the first `{` and the next `}` alone decides where a key lives. */
const hashTag = /^[^{]*\{[^}]+\}/;

export function readRedis(value: unknown, file: string, report: Report): RedisConfig {
  const section = readMap(redisMap, value, at, report);
  const { set, values } = section;
  const [kind, ...others] = kinds.filter((one) => set.has(one));
  if (others.length > 0) report(at, `has "${kind}" and "${others[0]}": only one can be`);
  if (kind !== undefined || !section.strays) checkBelonging(set, kind, report);
  const servers = others.length > 0 || kind === undefined ? null : readServers[kind](section, value, file, report);
  const { prefix = kind === 'cluster' ? '{bull}' : 'bull' } = values;
  if (kind === 'cluster' && !hashTag.test(prefix)) {
    report([...at, 'prefix'], `Redis Cluster needs a {hash tag} in it, such as "{${prefix.replace(/[{}]/g, '')}}"`);
  }
  return { servers, prefix };
}

const readServers = {
  url(section: Section, _: unknown, file: string, report: Report): RedisServers | null {
    const password = secretSource('password', section, file, report);
    const { url } = section.values;
    if (url === undefined) return null;
    if (password !== null && new URL(url).password !== '') {
      report(
        [...at, 'url'],
        `holds a password, and "${password.name}${password.from === 'env' ? 'Env' : 'File'}" names one`,
      );
    }
    return { kind: 'single', url, password };
  },
  sentinels(section: Section, value: unknown, file: string, report: Report): RedisServers | null {
    const { name } = section.values;
    if (!section.set.has('name')) report(at, '"sentinels" needs "name", the name of the primary, such as mymaster');
    const sentinels = readNodes('sentinels', value, sentinelMap, report);
    const sentinelPassword = secretSource('sentinelPassword', section, file, report);
    const login = readLogin(section, file, report);
    return name === undefined ? null : { kind: 'sentinel', sentinels, name, sentinelPassword, login };
  },
  cluster(section: Section, value: unknown, file: string, report: Report): RedisServers {
    const nodes = readNodes('cluster', value, nodeMap, report);
    return { kind: 'cluster', nodes, login: readLogin(section, file, report) };
  },
};

function readLogin(section: Section, file: string, report: Report): RedisLogin {
  const { username, tls = false } = section.values;
  const password = secretSource('password', section, file, report);
  return { ...(username === undefined ? {} : { username }), password, tls };
}

function readNodes(
  key: 'sentinels' | 'cluster',
  section: unknown,
  schema: typeof nodeMap | typeof sentinelMap,
  report: Report,
): NodeAddress[] {
  const list = valueAt(section, key);
  if (!Array.isArray(list) || list.length === 0) {
    report(
      [...at, key],
      `${listWanted} like { host: redis-1, port: ${schema.shape.port.parse(undefined)} }, found ${found(list, false)}`,
    );
    return [];
  }
  return list.flatMap((node, index) => {
    const { host, port } = readMap(schema, node, [...at, key, index], report).values;
    return host === undefined || port === undefined ? [] : [{ host, port }];
  });
}

/** Settings that would have no effect are mistakes. */
function checkBelonging(set: ReadonlySet<string>, kind: (typeof kinds)[number] | undefined, report: Report): void {
  const needs: Readonly<Record<string, readonly (typeof kinds)[number][]>> = {
    name: ['sentinels'],
    username: ['sentinels', 'cluster'],
    tls: ['sentinels', 'cluster'],
    passwordEnv: kinds,
    passwordFile: kinds,
    sentinelPasswordEnv: ['sentinels'],
    sentinelPasswordFile: ['sentinels'],
  };
  for (const [key, wanted] of Object.entries(needs)) {
    if (!set.has(key) || (kind !== undefined && wanted.includes(kind))) continue;
    const hint = kind === 'url' ? ({ username: '; say redis://user@host', tls: '; say rediss://' }[key] ?? '') : '';
    report([...at, key], `has an effect only with ${listOf(wanted)}${hint}`);
  }
}

function listOf(keys: readonly string[]): string {
  const quoted = keys.map((key) => `"${key}"`);
  return [quoted.slice(0, -1).join(', '), quoted.at(-1)].filter((part) => part !== '').join(' or ');
}
