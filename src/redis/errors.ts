/** What the errors of Redis and of its client mean, and what they are called in messages. */

/** Its message is fit to be shown to a user. */
export class RedisStartError extends Error {
  override readonly name = 'RedisStartError';
}

/** The environment or the file names Redis, or its password, in a way that cannot be right. */
export class RedisSettingsError extends RedisStartError {}

/**
 * Replies by which Redis refuses a command for a while and changes nothing. The command succeeds once the reason, given
 * here as text, is over. So it is treated like a command that meets a lost connection.
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

/** The code is the reply's first word. Redis before 7 puts the failed script's name before it, and BullMQ a sentence. */
const refusalCode = new RegExp(
  `^(?:ERR Error running script .*? |Failed to [^:]*: )?-?(${Object.keys(refusalReasons).join('|')}) `,
);

/** Why Redis refuses the command for now, or null if the error is of another kind. */
export function refusalOf(error: unknown): Refusal | null {
  if (!(error instanceof Error)) return null;
  const code = refusalCode.exec(error.message)?.[1];
  if (code !== undefined) return code as Refusal;
  // A transaction is refused as a whole; its error carries the errors of its commands.
  const { previousErrors } = error as { previousErrors?: unknown };
  const causes = [error.cause, ...(Array.isArray(previousErrors) ? previousErrors : [])];
  return causes.map(refusalOf).find((refusal) => refusal !== null) ?? null;
}

/** Redis does not accept the user or the password. */
export function isLoginError(refusal: Refusal | null): boolean {
  return refusal === 'WRONGPASS' || refusal === 'NOAUTH';
}

/** ioredis's errors about a connection that have no code. */
const connectionMessage =
  /^(Connection is closed|All sentinels are unreachable|Failed to refresh slots cache|None of startup nodes|Cluster isn't ready)/;

/** Whether Redis or the connection failed, which its client reports once, and not the command itself. */
export function isConnectionError(error: Error & { code?: unknown }): boolean {
  const { code, message } = error;
  // The codes of BullMQ's own errors are numbers.
  return /^E[A-Z]+$/.test(String(code ?? '')) || connectionMessage.test(message) || refusalOf(error) !== null;
}

/** Whether the command was not carried out and can be retried as it is. A refused login is the caller's to correct. */
export function isTransient(error: unknown): boolean {
  return error instanceof Error && isConnectionError(error) && !isLoginError(refusalOf(error));
}

export const connectionClosed = 'connection closed';
const notRedis = 'it does not answer as Redis does';
const noAnswer = 'no answer';

/** Errors of the connection, by their code. */
const connectionErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: connectionClosed,
  EPIPE: connectionClosed,
  ENOENT: 'no such socket',
  ENOTSOCK: 'not a socket',
  EACCES: 'permission denied',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'no such host',
  ETIMEDOUT: noAnswer,
};

/** Replies, and errors of ioredis, by how they begin. */
const replies: readonly (readonly [start: string, text: string])[] = [
  ['DENIED', connectionClosed],
  ['Socket timeout', noAnswer],
  ['WRONGPASS', refusalReasons.WRONGPASS],
  ['NOAUTH', `${refusalReasons.NOAUTH}, and none was given`],
  ['ERR DB index is out of range', 'it has no database of that number'],
  [
    'ERR SELECT is not allowed in cluster mode',
    'it is a node of a cluster, which has database 0 only: name it under redis.cluster in the file',
  ],
];

/** The error as text. Known errors get a fixed text, since a server's reply may repeat what it was sent. */
export function describeError({ code, message }: Error & { code?: string }): string {
  const ofConnection = code === undefined ? undefined : connectionErrors[code];
  if (ofConnection !== undefined) return ofConnection;
  // The server's first bytes were not TLS. The message of OpenSSL names its source files.
  if (/^(ERR_SSL_|EPROTO)/.test(code ?? '')) return notTls;
  // By ioredis's parser, which asks its users to report it.
  if (message.endsWith('Please report this.')) return notRedis;
  return replies.find(([start]) => message.startsWith(start))?.[1] ?? message;
}

const notTls = 'TLS failed';

/** Whether something other than a working Redis may explain the error better. */
export function isPuzzling(description: string): boolean {
  return [connectionClosed, noAnswer, notRedis, notTls].includes(description);
}

/**
 * The error without the failed command. ioredis attaches the command's arguments, which may include a password or a link,
 * and printing the error prints them.
 */
export function withoutCommand(error: unknown): Error {
  return new Error(error instanceof Error ? describeError(error) : String(error));
}
