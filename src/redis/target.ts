/** The address and login of a Redis, as text and as ioredis's options, and what all connections have in common. */
import type { Redis, RedisOptions } from 'ioredis';
import { describeAddress, parseRedisUrl, type RedisAddress } from '../config/redisUrl.ts';
import { doubled } from '../doubled.ts';
import { registerSecret } from '../log.ts';
import { ioredis } from '../packages.ts';
import { RedisSettingsError } from './errors.ts';

export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

export interface Login {
  readonly username?: string;
  readonly password?: string;
  readonly tls: boolean;
}

/** One server: an address, or the path of a socket. `password` takes precedence over that of the address. */
export type ServerTarget = ({ readonly url: string } | { readonly path: string }) & { readonly password?: string };

export interface SentinelTarget {
  readonly sentinels: readonly NodeAddress[];
  readonly name: string;
  readonly sentinelPassword?: string;
  readonly login: Login;
}

export interface ClusterTarget {
  readonly cluster: readonly NodeAddress[];
  readonly login: Login;
}

/** Contains passwords: show it only through `describeTarget`. */
export type RedisTarget = ServerTarget | SentinelTarget | ClusterTarget;

/** For every connection: commands wait for as long as it takes. */
export const commonOptions = {
  maxRetriesPerRequest: null,
  connectTimeout: 5_000,
  keepAlive: 15_000,
} satisfies RedisOptions;

/** At most a second, so that the end of an outage is noticed soon. */
export function reconnectPauseMs(attempts: number): number {
  return doubled(50, attempts, 1_000);
}

/** The reply to one command on a connection of its own, or why there is none. */
export async function askOnce<T>(server: RedisOptions, command: (client: Redis) => Promise<T>): Promise<T | Error> {
  const client = new (ioredis().Redis)({ ...server, lazyConnect: true, retryStrategy: null, enableReadyCheck: false });
  const errors: Error[] = [];
  client.on('error', (error) => errors.push(error));
  try {
    await client.connect();
    return await command(client);
  } catch (error) {
    // The connection's error says more than the command's.
    return errors[0] ?? (error as Error);
  } finally {
    client.disconnect();
  }
}

/** As text, without a password. */
export function describeTarget(target: RedisTarget): string {
  const list = (nodes: readonly NodeAddress[]) => nodes.map(({ host, port }) => `${host}:${port}`).join(', ');
  if ('sentinels' in target) return `${target.name} of the Sentinels ${list(target.sentinels)}`;
  if ('cluster' in target) return `the cluster of ${list(target.cluster)}`;
  return describeAddress(addressOf(target));
}

function addressOf(target: ServerTarget): RedisAddress {
  if ('path' in target) return { path: target.path, db: null };
  const parsed = parseRedisUrl(target.url);
  if (parsed.ok) return parsed.address;
  throw new RedisSettingsError(`the address of Redis ${parsed.message}`);
}

/** For one server, or for the one that the Sentinels call the primary. */
export function serverOptions(target: ServerTarget | SentinelTarget): RedisOptions {
  if (!('sentinels' in target)) {
    return { ...addressOptions(addressOf(target)), ...defined({ password: target.password }) };
  }
  const { password: sentinelPassword, tls: sentinelTLS } = sentinelLogin(target);
  return {
    sentinels: [...target.sentinels],
    name: target.name,
    ...loginOptions(target.login),
    ...defined({ sentinelPassword, sentinelTLS, enableTLSForSentinelMode: sentinelTLS && true }),
  };
}

export function loginOptions({ username, password, tls }: Login): Pick<RedisOptions, 'username' | 'password' | 'tls'> {
  return defined({ username, password, tls: tls ? {} : undefined });
}

/** The servers that know where Redis is, and how to ask them. None for a single server. */
export function contactsOf(target: RedisTarget): (RedisOptions & NodeAddress)[] {
  if ('sentinels' in target) return target.sentinels.map((sentinel) => ({ ...sentinel, ...sentinelLogin(target) }));
  if ('cluster' in target) return target.cluster.map((node) => ({ ...node, ...loginOptions(target.login) }));
  return [];
}

/** The options that may change while the program runs. They are redacted in the log from now on. */
export function passwordsOf(target: RedisTarget): Pick<RedisOptions, 'password' | 'sentinelPassword'> {
  const options: RedisOptions = 'cluster' in target ? loginOptions(target.login) : serverOptions(target);
  const { password, sentinelPassword } = options;
  for (const secret of [password, sentinelPassword]) if (secret) registerSecret(secret);
  return defined({ password, sentinelPassword });
}

/** Sentinels have a password of their own, and no users. */
function sentinelLogin({ login, sentinelPassword }: SentinelTarget): Pick<RedisOptions, 'password' | 'tls'> {
  return loginOptions({ tls: login.tls, ...defined({ password: sentinelPassword }) });
}

/** As ioredis's options. */
export function addressOptions({ db, username, password, ...server }: RedisAddress): RedisOptions {
  const common = { db: db ?? 0, ...defined({ username, password }) };
  if ('path' in server) return { ...common, path: server.path };
  const { host, port, tls, family } = server;
  return { ...common, host, port, ...defined({ family, tls: tls ? {} : undefined }) };
}

/** The properties that are not undefined: ioredis treats an undefined one as a value. */
function defined<T extends object>(properties: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof defined<T>
  >;
}
