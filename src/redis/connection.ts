/**
 * Opens the program's connection to Redis.
 *
 * One client carries all commands of a process. BullMQ 6 takes it as `connection` for any number of queues and workers:
 * a Queue uses it as it is and leaves it open; a Worker uses it for commands and duplicates it once for its blocking
 * read (BZPOPMIN, at most 10 s); QueueEvents duplicates it too. So 200 instances cost 201 connections, not 600. A
 * duplicate inherits every option set here, so none may be wrong for it:
 * - maxRetriesPerRequest must be null, and commandTimeout unset: it would cut off blocking reads.
 * - lazyConnect must be off: BullMQ connects a lazy duplicate itself and gives up at the first refusal, so a worker made
 *   during an outage would never work.
 *
 * A command that waits for its reply when the connection is lost is sent again on the next one, and so is a command that
 * Redis refuses for a while (`waitingClient.ts`). The lost one may have been carried out already, so whatever must not
 * happen twice has to be safe in its script.
 */
import { lookup } from 'node:dns';
import type { RedisOptions } from 'ioredis';
import { connectionClosed, describeError, isPuzzling, RedisStartError } from './errors.ts';
import { createRefusals, type Refusals } from './outage.ts';
import { explainServer } from './probe.ts';
import type { RedisClient } from './scripts.ts';
import {
  askOnce,
  type ClusterTarget,
  commonOptions,
  contactsOf,
  describeTarget,
  loginOptions,
  passwordsOf,
  type RedisTarget,
  reconnectPauseMs,
  serverOptions,
} from './target.ts';
import { type Waiting, WaitingCluster, WaitingRedis } from './waitingClient.ts';

export interface ConnectOptions {
  /** Called when the connection is lost, when a new reason prevents a reconnection, and when it is restored. */
  readonly onChange?: (isConnected: boolean, why: string) => void;
  /** A connection on which a command has waited this long for any reply is dead. Longer than BullMQ blocks. */
  readonly silenceMs?: number;
  readonly refusals?: Refusals;
  /** How long Redis may refuse a command before the command fails. Default: forever. */
  readonly refusedForMs?: number;
  /** Gives up connecting: rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Reads the target again for each connection, since passwords may change. Null: the configuration names none any
   * more.
   */
  readonly reread?: () => RedisTarget | null;
}

/** How long a Sentinel or a node may take to answer. */
const handshakeMs = 5_000;
/** Between two attempts of a command whose cluster node is gone. */
const clusterRetryMs = 200;
/** BullMQ blocks for at most 10 s. */
const defaultSilenceMs = 12_000;

/** Resolves when Redis answers and has loaded its data. Rejects with a `RedisStartError` if it is not reachable now. */
export async function connectRedis(target: RedisTarget, options: ConnectOptions = {}): Promise<RedisClient> {
  const { onChange, silenceMs = defaultSilenceMs, signal, reread = () => target } = options;
  const { refusals = createRefusals(), refusedForMs = Number.POSITIVE_INFINITY } = options;
  signal?.throwIfAborted();
  let lastRead = target;
  const current = () => {
    try {
      lastRead = reread() ?? lastRead;
    } catch {
      // A password file that is being replaced: the last password stays in use.
    }
    return lastRead;
  };
  const waiting: Waiting = {
    refusals,
    refusedForMs,
    wasReady: false,
    login: () => passwordsOf(current()),
  };
  const client = open(target, silenceMs, waiting);
  let reason = connectionClosed;
  const onError = (error: Error) => {
    reason = describeError(error);
  };
  client.on('error', onError);
  client.on('node error', onError);
  client.on('sentinelError', onError);
  await firstReady(client, signal, async () => {
    const why = await explain(target, reason);
    return new RedisStartError(`cannot reach Redis at ${describeTarget(target)}: ${why}`);
  });
  waiting.wasReady = true;
  /** Reasons of this outage that were reported. */
  const reported = new Set<string>();
  client.on('close', () => {
    // A replica is left on purpose, to look for the primary; its refusal is reported already.
    if (reason === connectionClosed && refusals.now() !== null) return;
    refusals.clear();
    if (!reported.has(reason)) onChange?.(false, reason);
    reported.add(reason);
  });
  client.on('ready', () => {
    if (reported.size > 0) onChange?.(true, '');
    reported.clear();
    reason = connectionClosed;
  });
  return client;
}

function open(target: RedisTarget, silenceMs: number, waiting: Waiting): RedisClient {
  /** There is no second attempt before the first connection is ready: the user sees at once what is wrong. */
  const retryAfter = (attempts: number) => (waiting.wasReady ? reconnectPauseMs(attempts) : null);
  const settings: RedisOptions = {
    ...commonOptions,
    connectionName: 'invite-rotator',
    // Otherwise a silent cut (a firewall, a dead host) would hold commands for a quarter of an hour.
    socketTimeout: silenceMs,
  };
  if ('cluster' in target) return openCluster(target, settings, retryAfter, waiting);
  return new WaitingRedis({
    ...settings,
    ...serverOptions(target),
    retryStrategy: retryAfter,
    sentinelRetryStrategy: retryAfter,
    // A Sentinel that hangs must not keep the client from asking the next one.
    sentinelCommandTimeout: handshakeMs,
    waiting,
  });
}

function openCluster(
  { cluster, login }: ClusterTarget,
  settings: RedisOptions,
  clusterRetryStrategy: (attempts: number) => number | null,
  waiting: Waiting,
): WaitingCluster {
  return new WaitingCluster([...cluster], {
    waiting,
    clusterRetryStrategy,
    // A failover takes as long as the nodes need to agree. Commands wait for it, as they do for a single server.
    maxRedirections: Number.MAX_SAFE_INTEGER,
    retryDelayOnFailover: clusterRetryMs,
    retryDelayOnClusterDown: clusterRetryMs,
    // Two nodes that redirect to each other meanwhile must not cause a busy loop.
    retryDelayOnMoved: 20,
    slotsRefreshTimeout: handshakeMs,
    redisOptions: { ...settings, ...loginOptions(login) },
    // A certificate is issued for a name, not for its address.
    dnsLookup: login.tls ? (host, done) => done(null, host, 0) : lookup,
  });
}

/** Resolves at the client's first `ready`; rejects with `failure()` when it gives up. */
function firstReady(client: RedisClient, signal: AbortSignal | undefined, failure: () => Promise<Error>) {
  return new Promise<void>((resolve, reject) => {
    const onAbort = () => {
      client.off('end', onEnd);
      client.disconnect();
      reject(signal?.reason);
    };
    const onEnd = async () => {
      const error = await failure();
      signal?.removeEventListener('abort', onAbort);
      reject(error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    client.once('end', onEnd);
    client.once('ready', () => {
      client.off('end', onEnd);
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}

/**
 * `reason`: what the client reported, which hardly explains failures of Sentinels and clusters. So each of them is
 * asked.
 */
async function explain(target: RedisTarget, reason: string): Promise<string> {
  if (!('sentinels' in target) && !('cluster' in target)) return await explainOne(serverOptions(target), reason);
  const contacts = contactsOf(target);
  const failures = await Promise.all(contacts.map(failureOf));
  if (!failures.includes(null)) {
    return contacts.map(({ host, port }, i) => `${failures[i]} at ${host}:${port}`).join(', ');
  }
  return reason.startsWith('All sentinels are unreachable') ? 'they know no primary of that name' : reason;
}

async function explainOne(server: RedisOptions, reason: string): Promise<string> {
  const mistake = isPuzzling(reason) ? await explainServer(server) : null;
  if (mistake !== null) return mistake;
  return reason === connectionClosed
    ? `${reason}; a Redis without a password refuses connections from other machines`
    : reason;
}

/** Why one Sentinel, or one node of a cluster, does not answer; null if it does. */
async function failureOf(server: RedisOptions): Promise<string | null> {
  const reply = await askOnce({ ...commonOptions, ...server, commandTimeout: handshakeMs }, (client) => client.ping());
  return reply instanceof Error ? await explainOne(server, describeError(reply)) : null;
}
