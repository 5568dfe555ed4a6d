/**
 * Makes a configuration of a file's values: every section read by its schema, then what needs several of them at once.
 * Nothing hides anything else: what is wrong in one place does not keep the others from being checked.
 */
import type { z } from 'zod';
import { type Config, indexGroups } from './config.ts';
import { found } from './describe.ts';
import { reportTwins } from './duplicates.ts';
import { formatDuration } from './duration.ts';
import { checkFeasibility } from './feasibility.ts';
import { readGroups } from './groups.ts';
import { readInstances } from './instances.ts';
import type { Finding, Report } from './problems.ts';
import { isMap, readMap, reportUnknownKeys } from './readMap.ts';
import { readRedis } from './redis.ts';
import { apiMap, opsMap } from './schema/connections.ts';
import { resultsMap, retryMap, verifyMap } from './schema/running.ts';
import { fileSchema } from './schema.ts';

export type Built =
  | { readonly config: Config; readonly findings: [] }
  | { readonly config: null; readonly findings: Finding[] };

export function buildConfig(values: unknown, file: string): Built {
  const findings: Finding[] = [];
  const report: Report = (path, message, atKey = false) => findings.push({ path, message, atKey });
  if (!isMap(values)) {
    report([], `expected a map of settings, found ${found(values, false)}`);
    return { config: null, findings };
  }

  reportUnknownKeys(fileSchema, values, [], report);
  const { shutdownTimeout } = values;
  const own = readMap(fileSchema.pick({ shutdownTimeout: true }), { shutdownTimeout }, [], report).values;
  const api = readApi(values.api, report);
  const instances = readInstances(values.instances, file, report);
  const groups = readGroups(values.defaults, values.groups, instances.names, report);
  const retry = readRetry(values.retry, report);
  const verify = readVerify(values.verify, report);
  const queues = readQueues(values.results, report);
  const redis = readRedis(values.redis, file, report);
  const ops = readOps(values.ops, report);
  checkFeasibility(instances.built, groups, report);
  if (findings.length > 0) return { config: null, findings };

  const config = {
    file,
    api: { baseUrl: api.baseUrl, timeoutMs: api.timeout, settleTimeMs: api.settleTime },
    instances: [...instances.built.values()],
    groups,
    ...indexGroups(groups),
    retry: { attempts: retry.attempts, baseDelayMs: retry.baseDelay, maxDelayMs: retry.maxDelay },
    verify,
    results: { queues },
    redis,
    ops,
    shutdownTimeoutMs: own.shutdownTimeout,
  };
  // Every key has a value where nothing was reported.
  return { config: deepFreeze(config as Config), findings: [] };
}

/** Until its time-out a call may surely still take effect. */
function readApi(value: unknown, report: Report) {
  const { values, set } = readMap(apiMap, value, ['api'], report);
  const { timeout, settleTime } = values;
  if (timeout === undefined || settleTime === undefined || settleTime >= timeout) return values;
  const [least, given] = [formatDuration(timeout), formatDuration(settleTime)];
  if (set.has('settleTime')) report(['api', 'settleTime'], `expected at least "timeout" (${least}), found ${given}`);
  else report(['api', 'timeout'], `is longer than "settleTime" (${given}): set "settleTime" to at least ${least}`);
  return values;
}

function readRetry(value: unknown, report: Report) {
  const { values } = readMap(retryMap, value, ['retry'], report);
  const { baseDelay, maxDelay } = values;
  if (baseDelay !== undefined && maxDelay !== undefined && baseDelay > maxDelay) {
    report(['retry'], '"baseDelay" is longer than "maxDelay"');
  }
  return values;
}

function readVerify(value: unknown, report: Report): Config['verify'] {
  const map = readUnlessOff(verifyMap, value, 'verify', report);
  return map?.every === undefined ? null : { everyMs: map.every };
}

function readOps(value: unknown, report: Report): Config['ops'] {
  const map = readUnlessOff(opsMap, value, 'ops', report);
  return map?.host === undefined || map.port === undefined ? null : { host: map.host, port: map.port };
}

/** A section that may be `off`; null: it is, or it is wrong. */
function readUnlessOff<S extends z.ZodRawShape>(schema: z.ZodObject<S>, value: unknown, key: string, report: Report) {
  if (value === 'off' || value === false) return null;
  if (value === undefined || value === null || isMap(value)) return readMap(schema, value, [key], report).values;
  report([key], `expected "off" or a map; found ${found(value)}`);
  return null;
}

function readQueues(value: unknown, report: Report): readonly string[] {
  const queues = readMap(resultsMap, value, ['results'], report).values.queues ?? [];
  const named = queues.map((key, index) => ({ key, path: ['results', 'queues', index] }));
  reportTwins(named, ({ key }) => `"${key}" is named twice`, report);
  return queues;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
