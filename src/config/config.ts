/**
 * The configuration as the rest of the program sees it: valid and frozen. Durations are in milliseconds, and every group
 * names an existing instance. `load.ts` makes it from a file.
 */
import type { GroupIdentifier } from '../ryze/identifier.ts';
import type { FirstSeen, Schedule } from '../schedule/schedule.ts';

/** In the file, a secret's keys are its name with `Env` or `File` appended. */
export type SecretName = 'token' | 'password' | 'sentinelPassword';

/** Where to read a secret. The configuration never contains the secret itself. */
export type SecretSource = { readonly name: SecretName } & (
  | { readonly from: 'env'; readonly variable: string }
  | { readonly from: 'file'; readonly path: string }
);

/** One RyzeAPI instance: a WhatsApp account with its token, its share of the token's limit and a queue of its own. */
export interface InstanceConfig {
  readonly name: string;
  readonly token: SecretSource;
  /** At most `max` requests in any `perMs`. `reserve` of them are kept for one-offs. */
  readonly rateLimit: { readonly max: number; readonly perMs: number; readonly reserve: number };
  /** Jobs of this instance that one process runs at the same time. */
  readonly concurrency: number;
  /** Minimum time between two scheduled resets by this instance; 0 for no minimum. */
  readonly paceMs: number;
}

export interface GroupConfig {
  readonly id: string;
  readonly identifier: GroupIdentifier;
  /** For people who are invited. Null: the id. */
  readonly title: string | null;
  /** Name of the instance that serves this group; always one of `instances`. */
  readonly instance: string;
  readonly schedule: Schedule;
  readonly firstSeen: FirstSeen;
  /** If false, there are no scheduled rotations and no verification. One-offs still work. */
  readonly enabled: boolean;
}

export interface RetryConfig {
  /** Maximum calls for one job, including the first. */
  readonly attempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

/** How to log in to servers that are not named by a URL. */
export interface RedisLogin {
  readonly username?: string;
  readonly password: SecretSource | null;
  readonly tls: boolean;
}

export type RedisServers =
  /** `redis://`, `rediss://` or `unix://`; it may contain a password. */
  | { readonly kind: 'single'; readonly url: string; readonly password: SecretSource | null }
  | {
      readonly kind: 'sentinel';
      readonly sentinels: readonly NodeAddress[];
      /** The primary's name, as the Sentinels know it. */
      readonly name: string;
      readonly sentinelPassword: SecretSource | null;
      /** For the servers that the Sentinels watch. */
      readonly login: RedisLogin;
    }
  /** Some of its nodes; these know the others. */
  | { readonly kind: 'cluster'; readonly nodes: readonly NodeAddress[]; readonly login: RedisLogin };

export interface RedisConfig {
  /** Null: use the embedded Redis. */
  readonly servers: RedisServers | null;
  /** BullMQ's key prefix. Every key of this program starts with it. On Redis Cluster it contains a `{hash tag}`. */
  readonly prefix: string;
}

export interface Config {
  /** Absolute path of the main file. */
  readonly file: string;
  /** Identifies the text: the first 12 digits that `sha256sum` prints for the file; with `include`, of all files. */
  readonly hash: string;
  /** The entries of `include`, and how many files each of them names. */
  readonly included: readonly { readonly pattern: string; readonly files: number }[];
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
  /** Null: verification is off. `share`: of each token's limit, a fraction. */
  readonly verify: { readonly everyMs: number; readonly share: number } | null;
  readonly results: { readonly queues: readonly string[] };
  readonly redis: RedisConfig;
  /** Where health, metrics and the status page are served; null: nowhere. */
  readonly ops: { readonly host: string; readonly port: number } | null;
  /** Where `invite-rotator join` listens. */
  readonly join: {
    readonly host: string;
    readonly port: number;
    /** What people see before `/join/<group>`, without a slash at its end. Null: the address that it listens on. */
    readonly publicUrl: string | null;
    /** Where its metrics are served. Null: at the same address, to this machine only. */
    readonly metrics: { readonly host: string; readonly port: number } | null;
  };
  readonly shutdownTimeoutMs: number;
}
