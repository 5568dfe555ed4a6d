/**
 * Makes a configuration of a file's values: every section checked by its schema, then what needs several of them at
 * once. Nothing hides anything else: a broken group does not keep the others from being checked.
 */
import { resolve } from 'node:path';
import type { z } from 'zod';
import { type GroupIdentifier, identifierText, parseIdentifier } from '../ryze/identifier.ts';
import type { Schedule } from '../schedule/schedule.ts';
import type { Config, GroupConfig, InstanceConfig, TokenSource } from './config.ts';
import { checkFeasibility } from './feasibility.ts';
import { describeIssues, didYouMean, type Finding, found, type Path } from './problem.ts';
import * as schema from './schema.ts';

type RawGroup = z.output<typeof schema.groupSection>;
type RawDefaults = z.output<typeof schema.defaultsSection>;
type RawInstance = z.output<typeof schema.instanceSection>;

/** A value with its place in the file. */
interface At<T> {
  readonly value: T;
  readonly index: number;
}

export type Built =
  | { readonly config: Config; readonly findings: [] }
  | { readonly config: null; readonly findings: Finding[] };

export function buildConfig(values: unknown, file: string): Built {
  const findings: Finding[] = [];
  const report = (path: Path, message: string) => findings.push({ path, message });

  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    return { config: null, findings: [{ path: [], message: `expected a map of settings, found ${found(values)}` }] };
  }
  const raw = values as Record<string, unknown>;
  for (const key of Object.keys(raw)) {
    if (schema.knownKeys['']?.includes(key)) continue;
    const message = `unknown key "${key}"${didYouMean(key, schema.knownKeys[''] ?? [])}`;
    findings.push({ path: [key], message, atKey: true });
  }

  function parse<T extends z.ZodType>(section: T, value: unknown, path: Path): z.output<T> | null {
    const parsed = section.safeParse(value, { reportInput: true });
    if (parsed.success) return parsed.data;
    findings.push(...describeIssues(parsed.error, path));
    return null;
  }
  function parseList<T extends z.ZodType>(section: T, key: string): At<z.output<T>>[] {
    const list = raw[key];
    if (!Array.isArray(list) || list.length === 0) {
      report(
        [key],
        list === undefined ? 'is required' : `expected a list with at least one entry, found ${found(list)}`,
      );
      return [];
    }
    return list.flatMap((entry, index) => {
      const value = parse(section, entry, [key, index]);
      return value === null ? [] : [{ value, index }];
    });
  }

  const api = parse(schema.apiSection, raw.api ?? {}, ['api']);
  const instances = parseList(schema.instanceSection, 'instances');
  const defaults = parse(schema.defaultsSection, raw.defaults ?? {}, ['defaults']) ?? {};
  const groups = parseList(schema.groupSection, 'groups');
  const retry = parse(schema.retrySection, raw.retry ?? {}, ['retry']);
  const verify = raw.verify === undefined ? { every: 86_400_000 } : parse(schema.verifySection, raw.verify, ['verify']);
  const results = parse(schema.resultsSection, raw.results ?? {}, ['results']);
  const redis = parse(schema.redisSection, raw.redis ?? {}, ['redis']);
  if (raw.ops !== undefined) parse(schema.opsSection, raw.ops, ['ops']);
  const shutdownTimeoutMs =
    raw.shutdownTimeout === undefined
      ? 40_000
      : parse(schema.shutdownTimeoutSection, raw.shutdownTimeout, ['shutdownTimeout']);

  if (defaults.every !== undefined && defaults.cron !== undefined) {
    report(['defaults'], 'has both "every" and "cron": one must go');
  }
  const builtInstances = instances.flatMap((entry) => buildInstance(entry, file, report));
  reportTwins(instances, 'instances', 'name', ({ name }) => name, report);
  // Every name that is written counts as known, also that of an instance with another problem.
  const names = namesIn(raw.instances);
  const builtGroups = groups.flatMap((entry) => buildGroup(entry, defaults, names, report));
  reportTwins(groups, 'groups', 'id', ({ id }) => id, report);
  reportTwins(groups, 'groups', 'identifier', ({ identifier }) => identifierText(read(identifier)), report);

  if (api && retry && verify && results && redis && shutdownTimeoutMs !== null) {
    const config: Config = {
      file,
      api: { baseUrl: api.baseUrl, timeoutMs: api.timeout, settleTimeMs: api.settleTime },
      instances: builtInstances,
      groups: builtGroups,
      retry: { attempts: retry.attempts, baseDelayMs: retry.baseDelay, maxDelayMs: retry.maxDelay },
      verify: typeof verify === 'object' ? { everyMs: verify.every } : null,
      results: { queues: results.queues },
      redis: { prefix: redis.prefix, ...(redis.url === undefined ? {} : { url: redis.url }) },
      shutdownTimeoutMs,
    };
    // Of half a file nobody can say what it asks for.
    if (findings.length === 0) findings.push(...checkFeasibility(config));
    if (findings.length === 0) return { config: deepFreeze(config), findings: [] };
  }
  return { config: null, findings };
}

type Report = (path: Path, message: string) => void;

function buildInstance({ value, index }: At<RawInstance>, file: string, report: Report): InstanceConfig[] {
  const at = ['instances', index] as const;
  const { tokenEnv, tokenFile, rateLimit } = value;
  if ((tokenEnv === undefined) === (tokenFile === undefined)) {
    report(
      at,
      tokenEnv === undefined ? 'needs "tokenEnv" or "tokenFile"' : 'has both "tokenEnv" and "tokenFile": one must go',
    );
    return [];
  }
  if (rateLimit.reserve >= rateLimit.max) {
    report([...at, 'rateLimit'], `"reserve" (${rateLimit.reserve}) leaves nothing of "max" (${rateLimit.max})`);
  }
  const token: TokenSource =
    tokenEnv === undefined
      ? { from: 'file', path: resolve(file, '..', tokenFile ?? '') }
      : { from: 'env', variable: tokenEnv };
  return [
    {
      name: value.name,
      token,
      rateLimit: { max: rateLimit.max, perMs: rateLimit.per, reserve: rateLimit.reserve },
      concurrency: value.concurrency,
      paceMs: value.pace,
    },
  ];
}

function buildGroup(
  { value, index }: At<RawGroup>,
  defaults: RawDefaults,
  instances: string[],
  report: Report,
): GroupConfig[] {
  const at = ['groups', index] as const;
  const schedule = buildSchedule(value, defaults, at, report);
  const instance = chooseInstance(value.instance ?? defaults.instance, instances, at, report);
  if (schedule === null || instance === null) return [];
  return [
    {
      id: value.id,
      identifier: read(value.identifier),
      instance,
      schedule,
      firstSeen: value.firstSeen ?? defaults.firstSeen ?? 'rotate',
      enabled: value.enabled ?? defaults.enabled ?? true,
    },
  ];
}

/** A group's own `every` or `cron` replaces a default of either kind. */
function buildSchedule(group: RawGroup, defaults: RawDefaults, at: Path, report: Report): Schedule | null {
  if (group.every !== undefined && group.cron !== undefined) {
    report(at, 'has both "every" and "cron": one must go');
    return null;
  }
  const own = group.every !== undefined || group.cron !== undefined;
  const { every, cron } = own ? group : defaults;
  const window = group.window ?? defaults.window;
  const base = {
    timezone: group.timezone ?? defaults.timezone ?? 'UTC',
    window: window === undefined ? null : { fromMinute: window.from, toMinute: window.to, days: window.days },
  };
  if (every !== undefined) return { ...base, kind: 'every', everyMs: every };
  if (cron !== undefined) return { ...base, kind: 'cron', cron };
  report(at, 'needs "every" or "cron", here or in defaults');
  return null;
}

function chooseInstance(name: string | undefined, known: string[], at: Path, report: Report): string | null {
  if (name !== undefined) {
    if (known.includes(name)) return name;
    report([...at, 'instance'], `no instance is named "${name}"${didYouMean(name, known)}`);
    return null;
  }
  if (known.length === 1) return known[0] ?? null;
  if (known.length > 1) report(at, `needs "instance": one of ${known.join(', ')}`);
  return null;
}

function reportTwins<T>(
  entries: At<T>[],
  list: string,
  key: string,
  keyOf: (value: T) => string,
  report: Report,
): void {
  const first = new Map<string, number>();
  for (const { value, index } of entries) {
    const seen = first.get(keyOf(value));
    if (seen === undefined) first.set(keyOf(value), index);
    else report([list, index, key], `is the same as ${list}[${seen}].${key}`);
  }
}

function namesIn(instances: unknown): string[] {
  if (!Array.isArray(instances)) return [];
  return instances.flatMap((entry) => (typeof entry?.name === 'string' ? [entry.name as string] : []));
}

function read(identifier: string): GroupIdentifier {
  const parsed = parseIdentifier(identifier);
  if (parsed === null) throw new Error('the schema let a bad identifier through');
  return parsed;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
