/**
 * ioredis's clients, made to wait. A command that Redis refuses for a while (`refusalOf`) is sent again about once a second
 * until Redis accepts it, like a command that meets a lost connection. To its caller, BullMQ included, it only takes
 * longer: there is no busy loop, and nothing that has to be stored is lost.
 *
 * A transaction is never split: it is rejected as a whole. BullMQ's duplicates of a client behave like it. If some of
 * several commands sent at once are refused, their order is not guaranteed.
 */
import { Cluster, type ClusterNode, type ClusterOptions, type Command, type Redis, type RedisOptions } from 'ioredis';
import { isLoginError, type Refusal, refusalOf } from './errors.ts';
import type { Refusals } from './outage.ts';
import { SelectingRedis } from './selectingClient.ts';

/** What all connections of one client share. */
export interface Waiting {
  readonly refusals: Refusals;
  /** How long Redis may refuse a command before the command fails. */
  readonly refusedForMs: number;
  /** The first connection was ready. From then on, commands wait for the next one. */
  wasReady: boolean;
  /** Called for each connection: a password may have changed. */
  login(): Pick<RedisOptions, 'password' | 'sentinelPassword'>;
}

/** An option, so that ioredis passes it on to duplicates. */
interface WaitingOptions extends RedisOptions {
  readonly waiting: Waiting;
}

/** From the TCP connection to a server that has loaded its data. A server that is loading replies meanwhile. */
const handshakeMs = 5_000;
const resendMs = 1_000;

type CommandItem = Parameters<Redis['handleReconnection']>[1];
type FlushOptions = Parameters<Redis['recoverFromFatalError']>[2];

/** By command. */
const firstRefusedAt = new WeakMap<object, number>();

/** Reports that a command was refused. Returns whether that goes on for longer than the command may wait. */
function isRefusedForLong(command: object, reason: Refusal, { refusals, refusedForMs }: Waiting): boolean {
  refusals.refused(reason);
  const nowMs = performance.now();
  const sinceMs = firstRefusedAt.get(command) ?? nowMs;
  firstRefusedAt.set(command, sinceMs);
  return nowMs - sinceMs >= refusedForMs;
}

export class WaitingRedis extends SelectingRedis {
  declare readonly options: WaitingOptions;
  private readonly refused: Command[] = [];
  private timer: NodeJS.Timeout | undefined;
  /** A new connection may be accepted: another server may be the primary now, or the password may have changed. */
  private mustReconnect = false;

  constructor(options: WaitingOptions) {
    super(options);
    this.giveUpSilentHandshakes();
    // Commands that wait to be sent again fail with the connection, like all others.
    this.on('end', () => this.resend());
  }

  override duplicate(override?: Partial<RedisOptions>): Redis {
    return new WaitingRedis({ ...this.options, ...override });
  }

  /** Called by ioredis for each connection, first from its constructor: fields of this class may not exist yet. */
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
    if (isRefusedForLong(command, reason, this.options.waiting)) {
      command.reject(error);
      return;
    }
    // It is sent alone from now on: a closed connection must not count it as a part of its pipeline.
    delete command.pipelineIndex;
    this.mustReconnect ||= reason === 'READONLY' || isLoginError(reason);
    this.refused.push(command);
    this.timer ??= setTimeout(() => this.resend(), resendMs);
  }

  /**
   * Called by ioredis when a connection cannot be used, for a wrong password say. ioredis would fail every waiting command;
   * here they wait for the next connection.
   */
  override recoverFromFatalError(commandError: Error, error: Error, options: FlushOptions): void {
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
   * Once Redis was reached, gives up a new connection that does not answer. ioredis would wait for it as long as for a
   * blocking read, which would prolong every outage in which packets are dropped.
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
    for (const event of ['ready', 'close', 'end']) this.on(event, () => clearTimeout(timer));
  }
}

interface WaitingClusterOptions extends ClusterOptions {
  readonly waiting: Waiting;
}

interface Handlers {
  tryagain(): void;
  defaults(): void;
}

/** ioredis itself retries after CLUSTERDOWN and TRYAGAIN, as often as `maxRedirections` allows. */
export class WaitingCluster extends Cluster {
  declare readonly options: WaitingClusterOptions;
  private readonly contacts: ClusterNode[];

  constructor(contacts: ClusterNode[], options: WaitingClusterOptions) {
    super(contacts, { ...options, redisOptions: { ...options.redisOptions, replyMapping: 'legacy' } });
    this.contacts = contacts;
  }

  override duplicate(contacts: ClusterNode[] = [], override: ClusterOptions = {}): Cluster {
    const redisOptions = { ...this.options.redisOptions, ...override.redisOptions };
    const options = { ...this.options, ...override, redisOptions };
    return new WaitingCluster(contacts.length > 0 ? contacts : this.contacts, options);
  }

  /** Called by ioredis for each attempt to find the cluster, first from its constructor. */
  override connect(): Promise<void> {
    // ioredis keeps a private copy of the options for the nodes that it finds.
    const { connectionPool: pool } = this as unknown as { connectionPool: { redisOptions: RedisOptions } };
    Object.assign(pool.redisOptions, this.options.waiting.login());
    return super.connect();
  }

  /** Called by ioredis for each failed command. `attempts` belongs to the command. */
  override handleError(error: Error, attempts: { value?: number }, handlers: Handlers): void {
    const reason = refusalOf(error);
    if (reason === null) {
      super.handleError(error, attempts, handlers);
      return;
    }
    const isFinal = isRefusedForLong(attempts, reason, this.options.waiting);
    if (reason === 'CLUSTERDOWN' || reason === 'TRYAGAIN') super.handleError(error, attempts, handlers);
    else if (isFinal) handlers.defaults();
    else setTimeout(() => handlers.tryagain(), resendMs);
  }
}
