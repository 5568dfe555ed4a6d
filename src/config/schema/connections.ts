/** The sections `api`, `redis` and `ops`: what the program talks to, and what it listens on. */
import { z } from 'zod';
import { checkedText, count, duration, hourMs, secretPath, variableName } from './values.ts';

const loopback = /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/;

export const apiMap = z.strictObject({
  baseUrl: checkedText('an address like https://ryzeapi.cloud', baseUrlProblem)
    .transform((text) => new URL(text).href.replace(/\/+$/, ''))
    .prefault('https://ryzeapi.cloud')
    .describe('Address of RyzeAPI; http only for loopback hosts'),
  timeout: duration(100, 600_000).prefault('30s').describe('For one whole call'),
  settleTime: duration(0, hourMs)
    .prefault('90s')
    .describe('How long after sending a call without an answer may still take effect; at least the timeout'),
});

const hostName = z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, { error: 'expected a host name or an address' });

export const sentinelMap = z.strictObject({ host: hostName, port: count(1, 65_535).prefault(26_379) });
export const nodeMap = z.strictObject({ host: hostName, port: count(1, 65_535).prefault(6_379) });

export const redisMap = z.strictObject({
  url: checkedText('an address like redis://host:6379', redisUrlProblem)
    .optional()
    .describe(
      'redis://, rediss:// or unix://; REDIS_URL wins over it; without any server, an embedded Redis is started',
    ),
  sentinels: z.array(sentinelMap).min(1).optional().describe('Redis Sentinel: where the Sentinels listen'),
  name: z
    .string()
    .regex(/^[\w.-]{1,100}$/, { error: 'expected 1 to 100 letters, digits, "_", "-" or "."' })
    .optional()
    .describe('Redis Sentinel: the name of the primary, such as mymaster'),
  cluster: z.array(nodeMap).min(1).optional().describe('Redis Cluster: some of its nodes'),
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
    .describe('File that holds the password, seen from the folder of this file'),
  sentinelPasswordEnv: variableName('SENTINEL_PASSWORD', 'password')
    .optional()
    .describe('The same for the Sentinels themselves'),
  sentinelPasswordFile: secretPath('password').optional().describe('The same for the Sentinels themselves'),
  tls: z.boolean().prefault(false).describe('With sentinels or cluster: servers and Sentinels are reached by TLS'),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_{}:.-]{1,64}$/, {
      error: 'expected 1 to 64 letters, digits, "_", "-", ".", ":" or a {hash tag}',
    })
    .optional()
    .describe(
      "BullMQ's key prefix: every key of this program starts with it. Default: bull, and {bull} with cluster, where a {hash tag} is needed",
    ),
});

export const opsMap = z.strictObject({
  host: hostName.prefault('127.0.0.1').describe('Loopback by default: what listens elsewhere is for you to protect'),
  port: count(0, 65_535).prefault(9400),
});

function baseUrlProblem(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) return 'expected an address like https://ryzeapi.cloud';
  if (url.username !== '' || url.password !== '') return 'must not hold a user or password';
  if (/[?#]/.test(text)) return 'must not hold a query or fragment';
  if (url.protocol === 'https:' || loopback.test(url.hostname)) return null;
  return 'http would send the token in the clear: use https (http is for loopback hosts only)';
}

function redisUrlProblem(text: string): string | null {
  const expected =
    'expected an address like redis://host:6379, rediss://user:password@host:6379/0 or unix:///path/to/socket';
  if (!URL.canParse(text)) return expected;
  const { protocol, hostname, pathname } = new URL(text);
  if (protocol === 'unix:') return pathname.length > 1 ? null : expected;
  if (!/^rediss?:$/.test(protocol) || hostname === '') return expected;
  return /^(\/\d*)?$/.test(pathname)
    ? null
    : 'expected the number of a database after the host, as in redis://host:6379/0';
}
