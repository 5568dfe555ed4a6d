/** The instances' tokens, kept in memory only, and what the API's answers show of their limits. */
import type { Config, InstanceConfig } from '../config/config.ts';
import { readSecret } from '../config/secrets.ts';
import { type Logger, registerSecret } from '../log.ts';

export interface Tokens {
  /** Reads the tokens of all instances; returns one line per problem. A token that cannot be read keeps its last value. */
  load(config: Config): string[];
  /** Throws for an instance whose token was never read. */
  of(instance: string): string;
  /** Reads one instance's token again; if that fails, returns its last value. `onProblem`: called once for each new problem. */
  refresh(instance: InstanceConfig, onProblem: (problem: string) => void): string;
  /** Those of the instances whose tokens could not be read when that was tried last. Tries again. */
  unreadable(instances: readonly InstanceConfig[]): string[];
}

export function createTokens(env: NodeJS.ProcessEnv): Tokens {
  const tokens = new Map<string, string>();
  /** By instance: of its last refresh. */
  const problems = new Map<string, string | null>();
  const unreadable = new Set<string>();

  function read(instance: InstanceConfig): string | null {
    const result = readSecret(instance.token, env);
    unreadable.delete(instance.name);
    if (!result.ok) {
      unreadable.add(instance.name);
      const kept = tokens.has(instance.name) ? '; the token that was read before stays in force' : '';
      return `instance ${instance.name}: ${result.message}${kept}`;
    }
    registerSecret(result.secret);
    tokens.set(instance.name, result.secret);
    return null;
  }

  function of(instance: string): string {
    const token = tokens.get(instance);
    if (token === undefined) throw new Error(`instance ${instance} has no token`);
    return token;
  }

  return {
    load: (config) => config.instances.map(read).filter((problem) => problem !== null),
    of,
    refresh(instance, onProblem) {
      const problem = read(instance);
      if (problem !== null && problem !== problems.get(instance.name)) onProblem(problem);
      problems.set(instance.name, problem);
      return of(instance.name);
    },
    unreadable: (instances) =>
      instances.filter((instance) => unreadable.has(instance.name) && read(instance) !== null).map(({ name }) => name),
  };
}

export interface LimitSeen {
  /** The server's limit; null: the answer does not show it. */
  readonly limit: number | null;
  /** Requests of others that the server has counted in this window, as far as the answer shows. */
  readonly foreign: number;
}

/** A token that is shared at all is usually shared all day. */
const sharedEveryMs = 3_600_000;

/** Logs once when the server's limit differs from the file's, and hourly that others use the token too. */
export function createLimitReports(log: Logger): (instance: InstanceConfig, seen: LimitSeen) => void {
  const limits = new Map<string, number>();
  const sharedAt = new Map<string, number>();

  function reportLimit({ name, rateLimit }: InstanceConfig, limit: number): void {
    if (limit === (limits.get(name) ?? rateLimit.max)) return;
    limits.set(name, limit);
    const event = { limit, configured: rateLimit.max, instance: name };
    const text = `${name}: the server's limit is ${limit}, the file says ${rateLimit.max}`;
    if (limit < rateLimit.max) log.warn({ event: 'limit.lower', ...event }, `${text}: the lower limit is used`);
    else if (limit > rateLimit.max) log.warn({ event: 'limit.higher', ...event }, `${text}: raise it in the file`);
    else log.info({ event: 'limit.same', ...event }, `${name}: the server's limit is the one in the file again`);
  }

  function reportShared(name: string, foreign: number): void {
    const nowMs = performance.now();
    if (nowMs - (sharedAt.get(name) ?? Number.NEGATIVE_INFINITY) < sharedEveryMs) return;
    sharedAt.set(name, nowMs);
    log.warn(
      { event: 'limit.shared', instance: name, foreign },
      `${name}: other programs use this token too (${foreign} requests in this window), and their requests count against its limit`,
    );
  }

  return (instance, { limit, foreign }) => {
    if (limit !== null) reportLimit(instance, limit);
    if (foreign > 0) reportShared(instance.name, foreign);
  };
}
