/** The section `redis`: one server, Sentinels or a cluster, and how to log in. */
import { z } from 'zod';
import type { RedisConfig, RedisServers } from './config.ts';
import { parseRedisUrl } from './redisUrl.ts';
import { secretSource } from './secrets.ts';
import {
  checkedText,
  checkKeys,
  checkNotBoth,
  integer,
  list,
  map,
  type PartlyValid,
  type Report,
  secretPath,
  variableName,
} from './values.ts';

export const hostName = z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, { error: 'expected a host name or an address' });

function nodeList(defaultPort: number) {
  const node = map({ host: hostName, port: integer(1, 65_535).prefault(defaultPort) });
  return list(node, ` like { host: redis-1, port: ${defaultPort} }`);
}

const redisMap = map(
  {
    url: checkedText('an address like redis://host:6379', urlProblem)
      .optional()
      .describe(
        'redis://, rediss:// or unix://; REDIS_URL takes precedence; without any server, an embedded Redis is started',
      ),
    sentinels: nodeList(26_379).optional().describe('Redis Sentinel: where the Sentinels listen'),
    name: z
      .string()
      .regex(/^[\w.-]{1,100}$/, { error: 'expected 1 to 100 letters, digits, "_", "-" or "."' })
      .optional()
      .describe('Redis Sentinel: the name of the primary, such as mymaster'),
    cluster: nodeList(6_379).optional().describe('Redis Cluster: some of its nodes'),
    username: z
      .string()
      .regex(/^\S{1,100}$/, { error: 'expected 1 to 100 characters without white space' })
      .optional()
      .describe('With sentinels or cluster: the ACL user'),
    passwordEnv: variableName('REDIS_PASSWORD', 'password')
      .optional()
      .describe('Environment variable that holds the password'),
    passwordFile: secretPath('password')
      .optional()
      .describe('File that holds the password; a relative path is resolved against the folder of this file'),
    sentinelPasswordEnv: variableName('SENTINEL_PASSWORD', 'password')
      .optional()
      .describe('The same for the Sentinels themselves'),
    sentinelPasswordFile: secretPath('password').optional().describe('The same for the Sentinels themselves'),
    tls: z
      .boolean()
      .optional()
      .describe('With sentinels or cluster: connect to servers and Sentinels with TLS (default false)'),
    prefix: z
      .string()
      .regex(/^[A-Za-z0-9_{}:.-]{1,64}$/, {
        error: 'expected 1 to 64 letters, digits, "_", "-", ".", ":" or a {hash tag}',
      })
      .optional()
      .describe(
        "BullMQ's key prefix: every key of this program starts with it. Default: bull, and {bull} with cluster, where a {hash tag} is needed",
      ),
  },
  {
    nodes: 'unknown key "nodes": the list of nodes is called "cluster"',
    password:
      'do not put the password in this file: name an environment variable (passwordEnv) or a file (passwordFile)',
  },
);

type RedisKeys = z.output<typeof redisMap>;

export const redisSchema = checkKeys(redisMap, (redis, report) => {
  const [kind, other] = kinds.filter(redis.has);
  if (kind !== undefined && other !== undefined) checkNotBoth(redis, [kind, other], report);
  checkNotBoth(redis, ['passwordEnv', 'passwordFile'], report);
  checkNotBoth(redis, ['sentinelPasswordEnv', 'sentinelPasswordFile'], report);
  if (kind !== undefined || !redis.hasUnknownKeys) checkEffects(redis, kind, report);
  if (kind === 'sentinels' && other === undefined && !redis.has('name')) {
    report([], '"sentinels" needs "name", the name of the primary, such as mymaster');
  }
  const { url, prefix } = redis.valid;
  const passwordKey = (['passwordEnv', 'passwordFile'] as const).find(redis.has);
  if (url !== undefined && passwordKey !== undefined && hasPassword(url)) {
    report(['url'], `contains a password, and "${passwordKey}" names another`);
  }
  if (kind === 'cluster' && prefix !== undefined && !hashTag.test(prefix)) {
    report(['prefix'], `Redis Cluster needs a {hash tag} in it, such as "{${prefix.replace(/[{}]/g, '')}}"`);
  }
});

const kinds = ['url', 'sentinels', 'cluster'] as const;
type Kind = (typeof kinds)[number];
/** As Redis Cluster sees it: only the text between the first `{` and the next `}` decides on which node a key is. */
const hashTag = /^[^{]*\{[^}]+\}/;

/** Settings without an effect are mistakes. */
function checkEffects({ has }: PartlyValid<RedisKeys>, kind: Kind | undefined, report: Report): void {
  const needs: { readonly [K in keyof RedisKeys]?: readonly Kind[] } = {
    name: ['sentinels'],
    username: ['sentinels', 'cluster'],
    tls: ['sentinels', 'cluster'],
    passwordEnv: kinds,
    passwordFile: kinds,
    sentinelPasswordEnv: ['sentinels'],
    sentinelPasswordFile: ['sentinels'],
  };
  const hints: { readonly [K in keyof RedisKeys]?: string } = {
    username: '; use redis://user@host',
    tls: '; use rediss://',
  };
  for (const [key, wanted] of Object.entries(needs) as [keyof RedisKeys, readonly Kind[]][]) {
    if (!has(key) || (kind !== undefined && wanted.includes(kind))) continue;
    const quoted = new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(wanted.map((one) => `"${one}"`));
    report([key], `has an effect only with ${quoted}${kind === 'url' ? (hints[key] ?? '') : ''}`);
  }
}

function urlProblem(text: string): string | null {
  const parsed = parseRedisUrl(text);
  return parsed.ok ? null : parsed.message;
}

function hasPassword(url: string): boolean {
  const parsed = parseRedisUrl(url);
  return parsed.ok && parsed.address.password !== undefined;
}

export function toRedisConfig(keys: RedisKeys, file: string): RedisConfig {
  return { servers: serversOf(keys, file), prefix: keys.prefix ?? (keys.cluster === undefined ? 'bull' : '{bull}') };
}

function serversOf(keys: RedisKeys, file: string): RedisServers | null {
  const { url, sentinels, name, cluster, username, tls = false } = keys;
  const password = secretSource('password', keys, file);
  if (url !== undefined) return { kind: 'single', url, password };
  const login = { ...(username === undefined ? {} : { username }), password, tls };
  if (cluster !== undefined) return { kind: 'cluster', nodes: cluster, login };
  if (sentinels === undefined || name === undefined) return null;
  const sentinelPassword = secretSource('sentinelPassword', keys, file);
  return { kind: 'sentinel', sentinels, name, sentinelPassword, login };
}
