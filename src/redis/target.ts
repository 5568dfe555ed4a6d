/** Which Redis: what the environment and the file name, or the embedded one that runs here. */
import type { NodeAddress, RedisConfig, RedisLogin, RedisServers, SecretSource } from '../config/config.ts';
import { readSecret } from '../config/secrets.ts';
import { embeddedSocket, isEmbeddedRunning } from '../localRedis/embedded.ts';
import { RedisStartError } from '../localRedis/findServer.ts';

/** Where the embedded Redis keeps its data, from where the program was started. */
export const dataDir = 'data';

export interface Login {
  readonly username?: string;
  readonly password?: string;
  readonly tls: boolean;
}

/** With passwords: never to be shown as it is. */
export type RedisTarget =
  | { readonly url: string; readonly password?: string }
  | { readonly path: string; readonly password?: string }
  | {
      readonly sentinels: readonly NodeAddress[];
      readonly name: string;
      readonly sentinelPassword?: string;
      readonly login: Login;
    }
  | { readonly cluster: readonly NodeAddress[]; readonly login: Login };

/**
 * The Redis that the environment or the file names; null: none, so it is the embedded one. REDIS_URL wins over every
 * server of the file. Passwords are read where the file says. Throws a `RedisStartError`.
 */
export function namedRedis({ servers }: RedisConfig, env: NodeJS.ProcessEnv): RedisTarget | null {
  if (env.REDIS_URL) return addressed(env.REDIS_URL, 'REDIS_URL');
  return servers === null ? null : configured(servers, env);
}

function configured(servers: RedisServers, env: NodeJS.ProcessEnv): RedisTarget {
  if (servers.kind === 'single') {
    return { ...addressed(servers.url, 'redis.url'), ...secret('password', servers.password, env) };
  }
  const login = readLogin(servers.login, env);
  if (servers.kind === 'cluster') return { cluster: servers.nodes, login };
  const { sentinels, name, sentinelPassword } = servers;
  return { sentinels, name, ...secret('sentinelPassword', sentinelPassword, env), login };
}

function addressed(text: string, source: string): { readonly url: string } | { readonly path: string } {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === 'unix:') return { path: decodeURIComponent(url.pathname) };
  // As parsed, with its scheme in lower case: ioredis would take REDISS:// for a connection without TLS.
  if (url?.host && (url.protocol === 'redis:' || url.protocol === 'rediss:')) return { url: url.href };
  throw new RedisStartError(
    `${source} is no address like redis://host:6379, rediss://user:password@host:6379/0 or unix:///path/to/socket`,
  );
}

function readLogin({ username, password, tls }: RedisLogin, env: NodeJS.ProcessEnv): Login {
  return { ...(username === undefined ? {} : { username }), ...secret('password', password, env), tls };
}

/** Under that key, where there is one. */
function secret<K extends string>(key: K, source: SecretSource | null, env: NodeJS.ProcessEnv): { [P in K]?: string } {
  if (source === null) return {};
  const result = readSecret(source, env);
  if (!result.ok) throw new RedisStartError(`redis: ${result.message}`);
  return { [key]: result.secret } as { [P in K]?: string };
}

/** For every command but `start`: the named Redis, or the embedded one of a `start` that runs here. */
export function findRunningRedis(config: RedisConfig, env: NodeJS.ProcessEnv): RedisTarget {
  const named = namedRedis(config, env);
  if (named !== null) return named;
  if (isEmbeddedRunning(dataDir)) return { path: embeddedSocket(dataDir) };
  throw new RedisStartError('no Redis: start the worker here first (invite-rotator start), or set REDIS_URL');
}

/** For people: never with a password. */
export function describeTarget(target: RedisTarget): string {
  const list = (nodes: readonly NodeAddress[]) => nodes.map(({ host, port }) => `${host}:${port}`).join(', ');
  if ('path' in target) return target.path;
  if ('sentinels' in target) return `${target.name} of the Sentinels ${list(target.sentinels)}`;
  if ('cluster' in target) return `the cluster of ${list(target.cluster)}`;
  const { protocol, host, pathname } = new URL(target.url);
  return `${protocol}//${host}${pathname}`;
}
