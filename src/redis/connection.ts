/**
 * Connections to Redis: which one, and how they behave.
 *
 * One client carries all commands of a process. BullMQ 6 takes it as `connection` for any number of queues and workers:
 * a Queue uses it as it is and leaves it open; a Worker uses it for commands and duplicates it once for its blocking
 * read (BZPOPMIN, 10 s at the most); QueueEvents duplicates it too. So 200 instances cost 201 connections, not 600. A
 * duplicate inherits every option set here, so none may be wrong for it:
 * - maxRetriesPerRequest must be null, and commandTimeout unset: it would cut off blocking reads.
 * - lazyConnect must be off: BullMQ connects a lazy duplicate itself and gives up at the first refusal, so a worker made
 *   during an outage would never work again.
 *
 * A command that waits for its answer when the connection is lost is sent again on the next one. It may have been done
 * already: whatever must not happen twice has to be safe in its script. So is one that Redis refuses for a while
 * (`waitingClient.ts`).
 */
import { lookup } from 'node:dns';
import type { RedisOptions } from 'ioredis';
import { registerSecret } from '../log.ts';
import { connectionClosed, isLoginError, RedisStartError, reasonOf, refusalOf, troubleWith } from './errors.ts';
import { createRefusals, type Refusals } from './outage.ts';
import type { RedisClient } from './scripts.ts';
import { describeTarget, type Login, type RedisTarget } from './target.ts';
import { type Waiting, WaitingCluster, type WaitingClusterOptions, WaitingRedis } from './waitingClient.ts';

export interface ConnectOptions {
  /** Told when the connection is lost, when another reason keeps it from coming back, and when it is back. */
  readonly onChange?: (connected: boolean, why: string) => void;
  /** A connection on which a command has waited this long without any answer is dead. Longer than BullMQ blocks. */
  readonly silenceMs?: number;
  /** What Redis refuses for a while. Default: nobody is told. */
  readonly refusals?: Refusals;
  /** How long a command may be refused before it is rejected. Default: for as long as it takes. */
  readonly refusedForMs?: number;
  /** Ends the attempt to connect: rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Where a password comes from that may be changed meanwhile. Default: the target's own, for good. */
  readonly logins?: Logins;
}

/** The target with its passwords, as they were last read. */
export interface Logins {
  readonly current: RedisTarget;
  /** Reads them again. Where that fails, those in use stay in force. */
  reread(): void;
}

const connectMs = 5_000;
/** How long a Sentinel or a node may take to answer. */
const handshakeMs = 5_000;
/** Between tries to reconnect at the most: an outage's end is noticed within a second. */
const retryMs = 1_000;
const keepAliveMs = 15_000;
/** Between tries of a command whose node of the cluster is gone. */
const clusterRetryMs = 200;
/** BullMQ blocks for 10 s at the most. */
const silentMs = 12_000;

/** Resolves once Redis answers and has loaded its data; rejects with a `RedisStartError` if it cannot be reached now. */
export async function connectRedis(target: RedisTarget, options: ConnectOptions = {}): Promise<RedisClient> {
  const { onChange, silenceMs = silentMs, signal, logins = { current: target, reread() {} } } = options;
  const { refusals = createRefusals(), refusedForMs = Number.POSITIVE_INFINITY } = options;
  const waiting: Waiting = {
    refusals,
    refusedForMs,
    wasReady: false,
    login: () => passwordsOf(logins.current),
    onWrongLogin: () => logins.reread(),
  };
  /** Until the first connection stands there is no second try: whoever starts the program sees what is wrong. */
  const retryAfter = (tries: number) => (waiting.wasReady ? Math.min(50 * 2 ** Math.min(tries, 10), retryMs) : null);
  const settings: RedisOptions = {
    connectionName: 'invite-rotator',
    maxRetriesPerRequest: null,
    connectTimeout: connectMs,
    // Without it, a cut that nobody announces (a firewall's, a dead host's) would hold commands for a quarter of an hour.
    socketTimeout: silenceMs,
    keepAlive: keepAliveMs,
  };
  signal?.throwIfAborted();
  const client =
    'cluster' in target
      ? openCluster(target, settings, { retryAfter, waiting })
      : new WaitingRedis({ ...alone(target, settings, retryAfter), waiting });
  let reason = connectionClosed;
  const onError = (error: Error) => {
    reason = reasonOf(error);
  };
  client.on('error', onError);
  client.on('node error', (error: Error) => {
    onError(error);
    if (isLoginError(refusalOf(error))) logins.reread();
  });
  client.on('sentinelError', onError);
  await new Promise<void>((resolve, reject) => {
    const abort = () => {
      client.off('end', fail);
      client.disconnect();
      reject(signal?.reason);
    };
    const fail = async () => {
      const why = await whyNone(target, reason);
      signal?.removeEventListener('abort', abort);
      reject(new RedisStartError(`cannot reach Redis at ${describeTarget(target)}: ${why}`));
    };
    signal?.addEventListener('abort', abort, { once: true });
    client.once('end', fail);
    client.once('ready', () => {
      client.off('end', fail);
      signal?.removeEventListener('abort', abort);
      resolve();
    });
  });
  waiting.wasReady = true;
  /** Reasons of this outage, each told once. */
  const told = new Set<string>();
  client.on('close', () => {
    // A replica is left on purpose, to look for the primary: that it refuses is reported.
    if (reason === connectionClosed && refusals.now() !== null) return;
    refusals.clear();
    if (!told.has(reason)) onChange?.(false, reason);
    told.add(reason);
  });
  client.on('ready', () => {
    if (told.size > 0) onChange?.(true, '');
    told.clear();
    reason = connectionClosed;
  });
  return client;
}

/** `reason`: what the client told, which of Sentinels and of a cluster is next to nothing. */
async function whyNone(target: RedisTarget, reason: string): Promise<string> {
  const contacts = contactsOf(target);
  const asked = contacts.map(async (contact) => {
    const trouble = await troubleWith({ ...contact, connectTimeout: connectMs, commandTimeout: handshakeMs });
    return trouble === null ? [] : [`${trouble} at ${contact.host}:${contact.port}`];
  });
  const troubles = (await Promise.all(asked)).flat();
  if (contacts.length > 0 && troubles.length === contacts.length) return troubles.join(', ');
  if (reason.startsWith('All sentinels are unreachable')) return 'they know no primary of that name';
  return reason === connectionClosed ? `${reason}; a Redis without a password does that to other machines` : reason;
}

/** Who says where Redis is, and how to ask them; of a server alone nobody. */
function contactsOf(target: RedisTarget): RedisOptions[] {
  if ('sentinels' in target) return target.sentinels.map((sentinel) => ({ ...sentinel, ...sentinelLogin(target) }));
  if ('cluster' in target) return target.cluster.map((node) => ({ ...node, ...loginOf(target.login) }));
  return [];
}

type RetryAfter = (tries: number) => number | null;

/** One server, or the one that the Sentinels call the primary now. */
function alone(
  target: Exclude<RedisTarget, { cluster: unknown }>,
  settings: RedisOptions,
  retryAfter: RetryAfter,
): RedisOptions {
  return {
    ...settings,
    ...('sentinels' in target ? bySentinels(target, retryAfter) : addressOf(target)),
    retryStrategy: retryAfter,
  };
}

type BySentinels = Extract<RedisTarget, { sentinels: unknown }>;

function bySentinels(target: BySentinels, retryAfter: RetryAfter): RedisOptions {
  const { sentinels, name, login } = target;
  const { password, tls } = sentinelLogin(target);
  return {
    sentinels: sentinels.map((sentinel) => ({ ...sentinel })),
    name,
    sentinelRetryStrategy: retryAfter,
    // One that is frozen must not hold up the question to the next.
    sentinelCommandTimeout: handshakeMs,
    ...(password === undefined ? {} : { sentinelPassword: password }),
    ...loginOf(login),
    ...(tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls }),
  };
}

/** Sentinels have a password of their own, and no users. */
function sentinelLogin({ login, sentinelPassword }: BySentinels): Pick<RedisOptions, 'password' | 'tls'> {
  return loginOf({ tls: login.tls, ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }) });
}

function openCluster(
  { cluster, login }: Extract<RedisTarget, { cluster: unknown }>,
  settings: RedisOptions,
  { retryAfter, waiting }: { readonly retryAfter: RetryAfter; readonly waiting: Waiting },
): WaitingCluster {
  const options: WaitingClusterOptions = {
    waiting,
    clusterRetryStrategy: retryAfter,
    // A failover takes as long as the nodes need to agree: commands wait for it, as they do for a server alone.
    maxRedirections: Number.MAX_SAFE_INTEGER,
    retryDelayOnFailover: clusterRetryMs,
    retryDelayOnClusterDown: clusterRetryMs,
    // Two nodes that point at each other meanwhile must not make us spin.
    retryDelayOnMoved: 20,
    slotsRefreshTimeout: handshakeMs,
    redisOptions: { ...settings, ...loginOf(login) },
    // A certificate is for a name, not for its address.
    dnsLookup: login.tls ? (host, done) => done(null, host, 0) : lookup,
  };
  return new WaitingCluster(
    cluster.map((node) => ({ ...node })),
    options,
  );
}

function loginOf({ username, password, tls }: Login): RedisOptions {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: kept(password) }),
    ...(tls ? { tls: {} } : {}),
  };
}

/** As options: ioredis takes a relative path that is its first argument for a host. */
function addressOf(target: Extract<RedisTarget, { url: string } | { path: string }>): RedisOptions {
  const named = target.password === undefined ? {} : { password: kept(target.password) };
  if ('path' in target) return { path: target.path, ...named };
  const { protocol, hostname, port, username, password, pathname } = new URL(target.url);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: kept(decodeURIComponent(password)) }),
    ...(pathname.length > 1 ? { db: Number(pathname.slice(1)) } : {}),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
    ...named,
  };
}

/** What of a target's options may change while the program runs. */
function passwordsOf(target: RedisTarget): Pick<RedisOptions, 'password' | 'sentinelPassword'> {
  if ('url' in target || 'path' in target) {
    const { password } = addressOf(target);
    return password === undefined ? {} : { password };
  }
  const { password } = loginOf(target.login);
  const { sentinelPassword } = 'sentinels' in target ? target : {};
  return {
    ...(password === undefined ? {} : { password }),
    ...(sentinelPassword === undefined ? {} : { sentinelPassword: kept(sentinelPassword) }),
  };
}

/** A password is struck out of the log, wherever an error may repeat it. */
function kept(password: string): string {
  registerSecret(password);
  return password;
}

/** Redis may refuse many connections at once. */
const rereadEveryMs = 500;

/** `read` throws where a password cannot be read, and says null where nothing names a Redis. */
export function createLogins(first: RedisTarget, read: () => RedisTarget | null): Logins {
  let current = first;
  let readAt = Number.NEGATIVE_INFINITY;
  return {
    get current() {
      return current;
    },
    reread() {
      if (performance.now() - readAt < rereadEveryMs) return;
      readAt = performance.now();
      try {
        current = read() ?? current;
      } catch {
        // A file that is being replaced: the next refusal reads it again.
      }
    },
  };
}
