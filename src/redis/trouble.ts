/** What is wrong with a connection to Redis, in our own words. */
import { Redis, type RedisOptions } from 'ioredis';

/** What ioredis says of a connection without a code. */
const connectionTrouble =
  /^(Connection is closed|All sentinels are unreachable|Failed to refresh slots cache|None of startup nodes|Cluster isn't ready)/;

/** Whether the connection is the trouble, which is told once by its client, and not what was asked for. */
export function isOfConnection({ code, message }: Error & { code?: unknown }): boolean {
  // BullMQ's own errors have numbers.
  return /^E[A-Z]+$/.test(String(code ?? '')) || connectionTrouble.test(message);
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
