/**
 * ioredis's client, made to fail where it would go on with the wrong database: ioredis reports a refused SELECT and then
 * uses database 0. Here a refused SELECT is treated like a refused password, on each connection and each duplicate.
 */
import { Redis, type RedisOptions } from 'ioredis';

export class SelectingRedis extends Redis {
  constructor(options: RedisOptions) {
    super({ ...options, replyMapping: 'legacy' });
  }

  override duplicate(override?: Partial<RedisOptions>): Redis {
    return new SelectingRedis({ ...this.options, ...override });
  }

  /** Called by ioredis for each connection whose options name a database. */
  override select(...args: Parameters<Redis['select']>): Promise<'OK'> {
    const selected = super.select(...args) as Promise<'OK'>;
    if (this.condition?.handshake !== true) return selected;
    return selected.catch((error: Error) => {
      this.recoverFromFatalError(error, error, {});
      // This handshake never ends; the next connection has one of its own.
      return new Promise<never>(() => {});
    });
  }
}
