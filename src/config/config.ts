/**
 * The configuration in force, as the rest of the program sees it: parsed, checked and frozen, every duration in
 * milliseconds, every reference between its parts known to hold. How a file becomes one is `load.ts`'s business.
 */
import type { GroupIdentifier } from '../ryze/identifier.ts';
import type { FirstSeen, Schedule } from '../schedule/schedule.ts';

/** A secret's keys in the file are its name with `Env` or `File` after it. */
export type SecretName = 'token' | 'password' | 'sentinelPassword';

/** Where a secret comes from; the value itself is never part of the configuration. */
export type SecretSource = { readonly name: SecretName } & (
  | { readonly from: 'env'; readonly variable: string }
  | { readonly from: 'file'; readonly path: string }
);

/** One RyzeAPI instance: a WhatsApp number with its token, its share of the token's limit and its own queue. */
export interface InstanceConfig {
  readonly name: string;
  readonly token: SecretSource;
  /** At most `max` requests in any `perMs`, of which scheduled work leaves `reserve` to one-offs. */
  readonly rateLimit: { readonly max: number; readonly perMs: number; readonly reserve: number };
  /** Jobs of this instance that one process works on at the same time. */
  readonly concurrency: number;
  /** Least time between two scheduled resets by this number; 0 for none. */
  readonly paceMs: number;
}

export interface GroupConfig {
  readonly id: string;
  readonly identifier: GroupIdentifier;
  /** Name of the instance that serves this group; always one of `instances`. */
  readonly instance: string;
  readonly schedule: Schedule;
  readonly firstSeen: FirstSeen;
  /** false: no scheduled rotations and no verification; one-offs still work. */
  readonly enabled: boolean;
}

export interface RetryConfig {
  /** Calls made for one job before giving up for now, the first one included. */
  readonly attempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

/** How to get in where no URL says so. */
export interface RedisLogin {
  readonly username?: string;
  readonly password: SecretSource | null;
  readonly tls: boolean;
}

export type RedisServers =
  /** `redis://`, `rediss://` or `unix://`, in which a password may stand. */
  | { readonly kind: 'single'; readonly url: string; readonly password: SecretSource | null }
  | {
      readonly kind: 'sentinel';
      readonly sentinels: readonly NodeAddress[];
      /** Of the primary, as the Sentinels know it. */
      readonly name: string;
      readonly sentinelPassword: SecretSource | null;
      /** To the servers that the Sentinels watch. */
      readonly login: RedisLogin;
    }
  /** Any of its nodes: they know the others. */
  | { readonly kind: 'cluster'; readonly nodes: readonly NodeAddress[]; readonly login: RedisLogin };

export interface RedisConfig {
  /** null: an embedded Redis. */
  readonly servers: RedisServers | null;
  /** BullMQ's key prefix; every key of this program starts with it. On Redis Cluster it has a `{hash tag}`. */
  readonly prefix: string;
}

export interface Config {
  /** Absolute path of the file that this was read from. */
  readonly file: string;
  readonly api: {
    readonly baseUrl: string;
    /** For one whole call. */
    readonly timeoutMs: number;
    /** How long after sending a call without an answer may still take effect. */
    readonly settleTimeMs: number;
  };
  readonly instances: readonly InstanceConfig[];
  readonly groups: readonly GroupConfig[];
  readonly groupsById: ReadonlyMap<string, GroupConfig>;
  /** Only groups that the file names by their JID. */
  readonly groupsByJid: ReadonlyMap<string, GroupConfig>;
  readonly retry: RetryConfig;
  /** null: verification is off. */
  readonly verify: { readonly everyMs: number } | null;
  readonly results: { readonly queues: readonly string[] };
  readonly redis: RedisConfig;
  /** Where health, metrics and status are shown; null: nowhere. */
  readonly ops: { readonly host: string; readonly port: number } | null;
  readonly shutdownTimeoutMs: number;
}
