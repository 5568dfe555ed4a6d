/** What is wrong with a connection to Redis, in our own words. */
import { Redis, type RedisOptions } from 'ioredis';

/** Fit to be shown to a user as it is. */
export class RedisStartError extends Error {
  override readonly name = 'RedisStartError';
}

/** What ioredis says of a connection without a code. */
const connectionTrouble =
  /^(Connection is closed|All sentinels are unreachable|Failed to refresh slots cache|None of startup nodes|Cluster isn't ready)/;

/** Whether Redis or the connection is the trouble, which its client reports once, and not what was asked for. */
export function isConnectionError(error: Error & { code?: unknown }): boolean {
  const { code, message } = error;
  // BullMQ's own errors have numbers.
  return /^E[A-Z]+$/.test(String(code ?? '')) || connectionTrouble.test(message) || refusalOf(error) !== null;
}

/**
 * Replies by which Redis refuses a command for a while and leaves everything as it was. The table says why, as text. Such a
 * command succeeds once the reason is over, so it is treated like one that meets a lost connection.
 */
export const refusalReasons = {
  NOREPLICAS: 'too few replicas are connected (min-replicas-to-write)',
  MISCONF: 'it cannot save to its disk',
  OOM: 'its memory is full (maxmemory)',
  READONLY: 'it is a replica',
  UNBLOCKED: 'it became a replica',
  LOADING: 'it is loading its data',
  MASTERDOWN: 'it is a replica that has lost its primary',
  CLUSTERDOWN: 'its cluster is down',
  TRYAGAIN: 'its cluster is moving keys',
  BUSY: 'it is busy with a long script',
  NOAUTH: 'it requires a password',
  WRONGPASS: 'wrong user or password',
} as const;

export type Refusal = keyof typeof refusalReasons;

/**
 * A reply begins with its code. Redis before 7 puts it behind the name of the script that failed, and BullMQ behind a
 * sentence of its own.
 */
const refusalCode = new RegExp(
  `^(?:ERR Error running script .*? |Failed to [^:]*: )?-?(${Object.keys(refusalReasons).join('|')}) `,
);

/** Why Redis cannot take this command now; null: the error is of another kind. */
export function refusalOf(error: unknown): Refusal | null {
  if (!(error instanceof Error)) return null;
  const code = refusalCode.exec(error.message)?.[1];
  if (code !== undefined) return code as Refusal;
  // A transaction is refused as a whole, and carries why.
  const { previousErrors } = error as { previousErrors?: unknown };
  const causes = [error.cause, ...(Array.isArray(previousErrors) ? previousErrors : [])];
  return causes.map(refusalOf).find((found) => found !== null) ?? null;
}

/** The user or the password is refused. */
export function isLoginError(reason: Refusal | null): boolean {
  return reason === 'WRONGPASS' || reason === 'NOAUTH';
}

export const connectionClosed = 'connection closed';

/** In our own words, where there are some: what a server answers may repeat what it was sent. */
export function reasonOf(error: Error & { code?: string }): string {
  const { code, message } = error;
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'ECONNRESET' || code === 'EPIPE' || message.startsWith('DENIED')) return connectionClosed;
  if (code === 'ENOENT') return 'no such socket';
  if (code === 'EACCES') return 'permission denied';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'no such host';
  if (code === 'ETIMEDOUT' || message.startsWith('Socket timeout')) return 'no answer';
  if (message.startsWith('WRONGPASS')) return 'wrong user or password';
  if (message.startsWith('NOAUTH')) return 'it wants a password, and was given none';
  return message;
}

/**
 * Asks one Sentinel, or one node of a cluster: ioredis does not tell why none of them answers. null: this one does.
 */
export async function troubleWith(server: RedisOptions): Promise<string | null> {
  const client = new Redis({ ...server, lazyConnect: true, retryStrategy: null, enableReadyCheck: false });
  const reasons: string[] = [];
  client.on('error', (error) => reasons.push(reasonOf(error)));
  try {
    await client.connect();
    await client.ping();
    return null;
  } catch (error) {
    return reasons[0] ?? reasonOf(error as Error);
  } finally {
    client.disconnect();
  }
}

/** Whether the same command may be tried again later: it was not done. A login that is refused is the caller's to put right. */
export function isTransient(error: unknown): boolean {
  return error instanceof Error && isConnectionError(error) && !isLoginError(refusalOf(error));
}

/**
 * The error without the command that failed: ioredis attaches its arguments, which may be a password or a link, and
 * whoever prints the error prints them too.
 */
export function withoutCommand(error: unknown): Error {
  return new Error(error instanceof Error ? reasonOf(error) : String(error));
}
