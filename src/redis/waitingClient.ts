/**
 * ioredis's clients, made to wait. A command that Redis refuses for a while (`refusalOf`) is sent again about once a second
 * until it is taken, as one that meets a lost connection is. Whoever sent it, BullMQ included, only sees that it takes
 * longer: nothing spins, and nothing that has to be stored is thrown away.
 *
 * Guarantees: a transaction is never taken apart, it is rejected as a whole. BullMQ's duplicates of a client behave like it.
 * Not guaranteed: that commands sent at once are taken in their order, where some of them are refused.
 */
import { Cluster, type ClusterNode, type ClusterOptions, type Command, Redis, type RedisOptions } from 'ioredis';
import { isLoginError, refusalOf } from './errors.ts';
import type { Refusals } from './outage.ts';

/** What all connections of one client share. */
export interface Waiting {
  readonly refusals: Refusals;
  /** How long a command may be refused before it is rejected. */
  readonly refusedForMs: number;
  /** The first connection was ready: from then on, trouble is waited out. */
  wasReady: boolean;
  /** Read again for each connection: a password may have been changed. */
  login(): Pick<RedisOptions, 'password' | 'sentinelPassword'>;
  /** Called when Redis does not accept it. */
  onWrongLogin(): void;
}

/** As an option, so that ioredis hands it on to duplicates. */
export interface WaitingOptions extends RedisOptions {
  readonly waiting: Waiting;
}

/** From a TCP connection to a server that answers and has loaded its data; a server that loads says so meanwhile. */
const handshakeMs = 5_000;
const resendMs = 1_000;

type CommandItem = Parameters<Redis['handleReconnection']>[1];
type FlushOptions = Parameters<Redis['recoverFromFatalError']>[2];

export class WaitingRedis extends Redis {
  declare readonly options: WaitingOptions;
  private readonly refused: Command[] = [];
  private timer: NodeJS.Timeout | undefined;
  /** Another connection may do: another server may be the primary by now, or the password is another. */
  private mustReconnect = false;
  private readonly firstRefusedAt = new WeakMap<object, number>();

  constructor(options: WaitingOptions) {
    super({ ...options, replyMapping: 'legacy' });
    this.giveUpSilentHandshakes();
    // Commands that wait for their second fail with the connection, like all others.
    this.on('end', () => this.resend());
  }

  override duplicate(override?: Partial<RedisOptions>): Redis {
    return new WaitingRedis({ ...this.options, ...override });
  }

  /** Called by ioredis for each connection, the first time from its constructor: fields of this class may be missing. */
  override connect(callback?: (error?: Error | null) => void): Promise<void> {
    Object.assign(this.options, this.options.waiting.login());
    return callback === undefined ? super.connect() : super.connect(callback);
  }

  /** Called by ioredis for each error reply. */
  override handleReconnection(error: Error, item: CommandItem): void {
    const command = item.command as Command;
    const reason = refusalOf(error);
    if (reason === null || command.inTransaction || this.condition?.handshake === true) {
      super.handleReconnection(error, item);
      return;
    }
    const { refusals, refusedForMs, onWrongLogin } = this.options.waiting;
    refusals.refused(reason);
    if (isLoginError(reason)) onWrongLogin();
    const sinceMs = this.firstRefusedAt.get(command) ?? performance.now();
    this.firstRefusedAt.set(command, sinceMs);
    if (performance.now() - sinceMs >= refusedForMs) {
      command.reject(error);
      return;
    }
    // It is sent alone from now on, and a closed connection must not count it as a part of its pipeline.
    delete command.pipelineIndex;
    this.mustReconnect ||= reason === 'READONLY' || isLoginError(reason);
    this.refused.push(command);
    this.timer ??= setTimeout(() => this.resend(), resendMs);
  }

  /**
   * Called by ioredis when a connection cannot be used, such as for a wrong password. It would fail every command that
   * waits; they wait for the next connection instead.
   */
  override recoverFromFatalError(commandError: Error, error: Error, options: FlushOptions): void {
    if (isLoginError(refusalOf(error))) this.options.waiting.onWrongLogin();
    const waits = this.condition?.handshake === true && this.options.waiting.wasReady;
    super.recoverFromFatalError(commandError, error, waits ? { ...options, offlineQueue: false } : options);
  }

  private resend(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.mustReconnect && this.status === 'ready') this.disconnect(true);
    this.mustReconnect = false;
    for (const command of this.refused.splice(0)) this.sendCommand(command);
  }

  /**
   * Once Redis was reached, gives up a new connection that does not answer: ioredis would wait for it as long as for one
   * that blocks, so an outage in which packets just vanish would last that much longer.
   */
  private giveUpSilentHandshakes(): void {
    let wasReady = false;
    let timer: NodeJS.Timeout | undefined;
    this.on('ready', () => {
      wasReady = true;
    });
    this.on('connect', () => {
      clearTimeout(timer);
      if (wasReady) timer = setTimeout(() => this.disconnect(true), handshakeMs);
    });
    for (const over of ['ready', 'close', 'end']) this.on(over, () => clearTimeout(timer));
  }
}

export interface WaitingClusterOptions extends ClusterOptions {
  readonly waiting: Waiting;
}

interface Handlers {
  tryagain(): void;
  defaults(): void;
}

/** ioredis itself waits out CLUSTERDOWN and TRYAGAIN, as long as `maxRedirections` allows. */
export class WaitingCluster extends Cluster {
  declare readonly options: WaitingClusterOptions;
  private readonly contacts: ClusterNode[];
  private readonly firstRefusedAt = new WeakMap<object, number>();

  constructor(contacts: ClusterNode[], options: WaitingClusterOptions) {
    super(contacts, { ...options, redisOptions: { ...options.redisOptions, replyMapping: 'legacy' } });
    this.contacts = contacts;
  }

  override duplicate(contacts: ClusterNode[] = [], override: ClusterOptions = {}): Cluster {
    const redisOptions = { ...this.options.redisOptions, ...override.redisOptions };
    const options = { ...this.options, ...override, redisOptions };
    return new WaitingCluster(contacts.length > 0 ? contacts : this.contacts, options);
  }

  /** Called by ioredis for each try to find the cluster, the first time from its constructor. */
  override connect(): Promise<void> {
    // ioredis keeps a copy of the options for the nodes that it finds, and offers no way to it.
    const { connectionPool: pool } = this as unknown as { connectionPool: { redisOptions: RedisOptions } };
    Object.assign(pool.redisOptions, this.options.waiting.login());
    return super.connect();
  }

  /** Called by ioredis for each command that failed. `attempts` is the command's own. */
  override handleError(error: Error, attempts: { value?: number }, handlers: Handlers): void {
    const reason = refusalOf(error);
    if (reason === null) {
      super.handleError(error, attempts, handlers);
      return;
    }
    const { refusals, refusedForMs } = this.options.waiting;
    refusals.refused(reason);
    const sinceMs = this.firstRefusedAt.get(attempts) ?? performance.now();
    this.firstRefusedAt.set(attempts, sinceMs);
    if (reason === 'CLUSTERDOWN' || reason === 'TRYAGAIN') super.handleError(error, attempts, handlers);
    else if (performance.now() - sinceMs >= refusedForMs) handlers.defaults();
    else setTimeout(() => handlers.tryagain(), resendMs);
  }
}
