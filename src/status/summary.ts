/** How many groups are in each state, and which need attention: from the groups, or from the indexes if they are many. */
import type { Config, GroupConfig } from '../config/config.ts';
import { type Count, countGroups, firstTime, type InstanceCounts, listSegment } from '../groups/counts.ts';
import { type GroupState, groupStates } from '../groups/states.ts';
import type { Database } from '../redis/database.ts';
import type { GroupStatus } from './groupStatus.ts';
import { loadRecords } from './load.ts';

export interface GroupTotals {
  readonly groups: number;
  readonly states: Readonly<Record<GroupState, number>>;
}

export interface InstanceTotals extends GroupTotals {
  /** Age of the oldest link that has a schedule. Null: there is none. */
  readonly oldestLinkAgeMs: number | null;
  /** Highest age of a link, in periods of its group. 0: there is none. */
  readonly oldestLinkAgePeriods: number;
}

export interface Totals extends GroupTotals {
  /** False until the groups that an older version stored have been counted once. The numbers are too low until then. */
  readonly complete: boolean;
  /** By instance. */
  readonly instances: Readonly<Record<string, InstanceTotals>>;
}

/** Groups that need attention for the same reason. */
export interface Problem {
  readonly state: 'unreadable_record' | 'duplicate' | 'failing';
  /** The error code of groups that fail. Null: another state, or a code that this version does not know. */
  readonly code: string | null;
  readonly groups: number;
  /** Since when the first of them has been failing. Null if that is unknown. */
  readonly since: string | null;
  /** The first of them. */
  readonly examples: readonly { readonly group: string; readonly duplicateOf: string | null }[];
}

export interface Summary {
  readonly totals: Totals;
  readonly problems: readonly Problem[];
}

const problemStates = ['failing', 'unreadable_record', 'duplicate'] as const;
/** Groups named for one problem. */
const maxExamples = 8;

/** Pure. `groups`: all of them. */
export function summaryOf(groups: readonly GroupStatus[], instances: readonly string[]): Summary {
  const byInstance = new Map<string, GroupStatus[]>(instances.map((instance) => [instance, []]));
  for (const group of groups) byInstance.get(group.instance)?.push(group);
  const totals = [...byInstance].map(([instance, own]) => [instance, instanceTotals(own)] as const);
  const problems = problemStates.flatMap((state) => {
    const byCode = new Map<string | null, GroupStatus[]>();
    for (const group of groups) {
      if (group.state !== state) continue;
      const code = state === 'failing' ? (group.lastError?.code ?? null) : null;
      byCode.get(code)?.push(group) ?? byCode.set(code, [group]);
    }
    return sorted([...byCode].map(([code, some]) => problemOf(state, code, some)));
  });
  const all = { groups: groups.length, states: statesOf(groups), complete: true };
  return { totals: { ...all, instances: Object.fromEntries(totals) }, problems };
}

function instanceTotals(groups: readonly GroupStatus[]): InstanceTotals {
  let oldestLinkAgeMs: number | null = null;
  let oldestLinkAgePeriods = 0;
  for (const { linkAgeMs, periodMs } of groups) {
    if (linkAgeMs === null || periodMs === null) continue;
    oldestLinkAgeMs = Math.max(oldestLinkAgeMs ?? 0, linkAgeMs);
    oldestLinkAgePeriods = Math.max(oldestLinkAgePeriods, linkAgeMs / periodMs);
  }
  return { groups: groups.length, states: statesOf(groups), oldestLinkAgeMs, oldestLinkAgePeriods };
}

function statesOf(groups: readonly GroupStatus[]): Record<GroupState, number> {
  const states = noGroups();
  for (const { state } of groups) states[state]++;
  return states;
}

function noGroups(): Record<GroupState, number> {
  return Object.fromEntries(groupStates.map((state) => [state, 0])) as Record<GroupState, number>;
}

function problemOf(state: Problem['state'], code: string | null, groups: readonly GroupStatus[]): Problem {
  const since =
    state === 'failing' ? (groups.map(({ lastError }) => lastError?.since ?? '').toSorted()[0] ?? null) : null;
  return { state, code, groups: groups.length, since, examples: groups.slice(0, maxExamples).map(example) };
}

function example({ group, duplicateOf }: GroupStatus): Problem['examples'][number] {
  return { group, duplicateOf };
}

/** The causes of most groups first. */
function sorted(problems: readonly Problem[]): Problem[] {
  return problems.toSorted((a, b) => b.groups - a.groups);
}

/** What the indexes say of a file's instances. */
export interface Indexed {
  readonly nowMs: number;
  readonly counts: readonly InstanceCounts[];
  /** Groups of the file that no worker has registered yet, by instance. */
  readonly missing: ReadonlyMap<string, number>;
  readonly complete: boolean;
}

export async function readIndexed(db: Database, config: Config, nowMs: number): Promise<Indexed> {
  const { redis, keys } = db;
  const instances = config.instances.map(({ name }) => name);
  const [counts, isIndexed, registered] = await Promise.all([
    countGroups(db, instances, nowMs),
    redis.exists(keys.statesIndexed),
    redis.hlen(keys.registered),
  ]);
  const indexed = counts.reduce((sum, { groups }) => sum + groups, 0);
  const complete = isIndexed === 1 || registered === 0 || indexed >= config.groups.length;
  const inFile = groupsByInstance(config.groups);
  const missing = counts.map(({ instance, groups }) => {
    return [instance, complete ? Math.max((inFile.get(instance) ?? 0) - groups, 0) : 0] as const;
  });
  return { nowMs, counts, missing: new Map(missing), complete };
}

/** Counted once for each file. */
const inFiles = new WeakMap<readonly GroupConfig[], ReadonlyMap<string, number>>();

function groupsByInstance(groups: readonly GroupConfig[]): ReadonlyMap<string, number> {
  const known = inFiles.get(groups);
  if (known !== undefined) return known;
  const counts = new Map<string, number>();
  for (const { instance } of groups) counts.set(instance, (counts.get(instance) ?? 0) + 1);
  inFiles.set(groups, counts);
  return counts;
}

export async function readSummary(db: Database, config: Config, indexed: Indexed): Promise<Summary> {
  const instances = indexed.counts.map((one) => [one.instance, indexedTotals(one, indexed)] as const);
  const all = { groups: 0, states: noGroups() };
  for (const [, { groups, states }] of instances) {
    all.groups += groups;
    for (const state of groupStates) all.states[state] += states[state];
  }
  const totals = { ...all, complete: indexed.complete, instances: Object.fromEntries(instances) };
  return { totals, problems: await readProblems(db, config, indexed) };
}

function indexedTotals(
  { instance, groups, counts, oldestLinkAt, oldestPeriods }: InstanceCounts,
  { nowMs, missing }: Indexed,
): InstanceTotals {
  const states = noGroups();
  for (const { state, groups: some } of counts) states[state] += some;
  const unregistered = missing.get(instance) ?? 0;
  states.new += unregistered;
  return {
    groups: groups + unregistered,
    states,
    oldestLinkAgeMs: oldestLinkAt && Math.max(nowMs - oldestLinkAt, 0),
    oldestLinkAgePeriods: oldestPeriods,
  };
}

async function readProblems(db: Database, config: Config, { counts, nowMs }: Indexed): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const state of problemStates) {
    const byCode = new Map<string | null, [instance: string, Count][]>();
    for (const { instance, counts: own } of counts) {
      for (const count of own) {
        if (count.state !== state) continue;
        byCode.get(count.code)?.push([instance, count]) ?? byCode.set(count.code, [[instance, count]]);
      }
    }
    const read = [...byCode].map(async ([code, parts]): Promise<Problem> => {
      const ids: string[] = [];
      for (const [instance, count] of parts) {
        if (ids.length >= maxExamples) break;
        ids.push(...(await listSegment(db, instance, count, { skip: 0, limit: maxExamples - ids.length })));
      }
      const examples = await loadRecords(db, config, ids, nowMs);
      const times = await Promise.all(
        parts.map(async ([instance, count]) => (await firstTime(db, instance, count)) ?? nowMs),
      );
      const since = state === 'failing' ? new Date(Math.min(...times)).toISOString() : null;
      const groups = parts.reduce((sum, [, count]) => sum + count.groups, 0);
      const known = code ?? (state === 'failing' ? (examples[0]?.lastError?.code ?? null) : null);
      return { state, code: known, groups, since, examples: examples.map(example) };
    });
    problems.push(...sorted(await Promise.all(read)));
  }
  return problems;
}
