/** Reads the list `instances`. Names are checked and known also where something else about their instance is wrong. */
import type { InstanceConfig, SecretSource } from './config.ts';
import { found } from './describe.ts';
import { type Named, reportTwins } from './duplicates.ts';
import { pathText, type Report } from './problems.ts';
import { type MapRead, readMap, valueAt } from './readMap.ts';
import { instanceMap, rateLimitMap } from './schema/instances.ts';
import { secretSource } from './secrets.ts';

export interface InstancesRead {
  /** The name of every entry that has one. */
  readonly names: readonly string[];
  /** Instances that are wholly right, by their place in the list. */
  readonly built: ReadonlyMap<number, InstanceConfig>;
}

export const listWanted = 'expected a list with at least one entry';

type Entry = MapRead<typeof instanceMap.shape>;

export function readInstances(list: unknown, file: string, report: Report): InstancesRead {
  if (!Array.isArray(list) || list.length === 0) {
    report(['instances'], list === undefined ? 'is required' : `${listWanted}, found ${found(list, false)}`);
    return { names: [], built: new Map() };
  }
  const built = new Map<number, InstanceConfig>();
  const named: Named[] = [];
  for (const [index, value] of list.entries()) {
    const name = valueAt(value, 'name');
    if (typeof name === 'string') named.push({ key: name, path: ['instances', index, 'name'] });
    const instance = readInstance(value, index, file, report);
    if (instance !== null) built.set(index, instance);
  }
  reportTwins(named, ({ path }) => `is the same as ${pathText(path)}`, report);
  return { names: [...new Set(named.map(({ key }) => key))], built };
}

function readInstance(value: unknown, index: number, file: string, report: Report): InstanceConfig | null {
  const at = ['instances', index] as const;
  const entry = readMap(instanceMap, value, at, report);
  const limit = readMap(rateLimitMap, valueAt(value, 'rateLimit'), [...at, 'rateLimit'], report);
  const { max, per, reserve } = limit.values;
  const reserveFits = max === undefined || reserve === undefined || reserve < max;
  if (!reserveFits) {
    report([...at, 'rateLimit'], `"reserve" (${reserve}) leaves nothing of "max" (${max})`);
  }
  const token = tokenSource(entry, file, report);
  const { name, concurrency, pace } = entry.values;
  if (!entry.sound || !limit.sound || !reserveFits || token === null) return null;
  if (name === undefined || concurrency === undefined || pace === undefined) return null;
  if (max === undefined || per === undefined || reserve === undefined) return null;
  return { name, token, rateLimit: { max, perMs: per, reserve }, concurrency, paceMs: pace };
}

function tokenSource(entry: Entry, file: string, report: Report): SecretSource | null {
  const { at, set, strays } = entry;
  const given = set.has('tokenEnv') || set.has('tokenFile');
  if (!given && !strays) report(at, 'needs "tokenEnv" or "tokenFile"');
  return secretSource('token', entry, file, report);
}
