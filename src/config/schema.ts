/**
 * The configuration file as one zod schema: its sections, and what must hold between them. One parse reports every
 * problem, and gives the configuration if there is none. The JSON Schema for editors comes from `fileSchema`.
 */
import { z } from 'zod';
import { identifierText, parseIdentifier } from '../ryze/identifier.ts';
import type { Config, GroupConfig, InstanceConfig } from './config.ts';
import { checkDemand } from './demand.ts';
import { type Defaults, defaultsSchema, type GroupKeys, groupSchema, resolveGroup } from './groupSchema.ts';
import { didYouMean } from './nearMiss.ts';
import { formatPath, type Path, truncate } from './problems.ts';
import { redisSchema, toRedisConfig } from './redisSchema.ts';
import { secretSource } from './secrets.ts';
import {
  apiSchema,
  instanceSchema,
  joinSchema,
  opsSchema,
  resultsSchema,
  retrySchema,
  verifySchema,
} from './sections.ts';
import {
  duplicatesIn,
  duration,
  hourMs,
  type Issue,
  isMap,
  list,
  map,
  type PartlyValid,
  partlyValid,
  type Report,
  reportTo,
  section,
  unlessOff,
} from './values.ts';

export const fileSchema = map({
  api: section(apiSchema),
  instances: list(instanceSchema).describe('RyzeAPI instances: WhatsApp numbers'),
  defaults: section(defaultsSchema).describe('Any key of a group but id, identifier and title'),
  groups: list(groupSchema).describe('Groups whose invite links are rotated'),
  retry: section(retrySchema),
  verify: section(unlessOff(verifySchema)).describe('Reads links back when budget is idle; "off" turns it off'),
  results: section(resultsSchema),
  redis: section(redisSchema),
  ops: section(unlessOff(opsSchema)).describe('Health, metrics and a status page over HTTP; "off" turns them off'),
  join: section(joinSchema).describe('Stable addresses, served by `invite-rotator join`'),
  shutdownTimeout: duration(0, hourMs).prefault('40s').describe('After a signal, work in flight may take this long'),
});

type FileKeys = z.output<typeof fileSchema>;
type InstanceKeys = z.output<typeof instanceSchema>;

/** Of a file that may lack groups, for commands that find out which ones there are. */
const newFileSchema = fileSchema.extend({
  groups: z
    .array(groupSchema)
    .nullish()
    .transform((groups) => groups ?? []),
});

export interface ConfigRules {
  /** False: the list of groups may be missing or empty. */
  readonly needsGroups?: boolean;
}

/** `file`: the absolute path of the file. Relative paths in it start at its folder. `hash`: of its text. */
export function configSchema(file: string, hash: string, { needsGroups = true }: ConfigRules = {}) {
  return (needsGroups ? fileSchema : newFileSchema)
    .superRefine((keys, context) => checkSections(keys, context.issues, file, reportTo(context)), {
      when: ({ value }) => isMap(value),
    })
    .transform((keys) => deepFreeze(toConfig(keys, file, hash)));
}

/** Checks what is valid, so that a problem in one section does not hide those in others. */
function checkSections(keys: FileKeys, issues: readonly Issue[], file: string, report: Report): void {
  const issuesAt = indexIssues(issues);
  const instances = entriesOf<InstanceKeys>(keys.instances, (index) => issuesAt('instances', index));
  const groups = entriesOf<GroupKeys>(keys.groups, (index) => issuesAt('groups', index));
  const defaults = partlyValid(isMap(keys.defaults) ? keys.defaults : {}, issuesAt('defaults'));

  checkUnique(['instances', 'name'], keys.instances, (name) => name, report);
  checkUnique(['groups', 'id'], keys.groups, (id) => id, report);
  checkUnique(['groups', 'identifier'], keys.groups, identityOf, report);

  // The name of an instance counts also if something else about it is wrong.
  const names = [...new Set(textsOf(keys.instances, 'name').filter((name) => name !== null))];
  checkInstance(['defaults'], defaults.valid.instance, names, report);
  for (const [index, group] of groups) {
    checkInstance(['groups', index], group.valid.instance, names, report);
    checkGroup(['groups', index], group, defaults, names, report);
  }

  const validInstances = [...instances].flatMap(([index, { whole }]) => {
    const instance = whole && toInstance(whole, file);
    return instance === null ? [] : [[index, instance] as const];
  });
  const validGroups = [...groups.values()].flatMap(
    ({ whole }) => (whole && defaults.whole && resolveGroup(whole, defaults.whole, onlyOne(names))) ?? [],
  );
  checkDemand(new Map(validInstances), validGroups, report);
}

/** A code and the link with that code are the same. */
function identityOf(text: string): string | null {
  const identifier = parseIdentifier(text);
  return identifier === null ? null : identifierText(identifier);
}

function checkUnique(
  [section, key]: readonly [string, string],
  entries: unknown,
  identity: (text: string) => string | null,
  report: Report,
): void {
  const identities = textsOf(entries, key).map((text) => (text === null ? null : identity(text)));
  for (const { index, first } of duplicatesIn(identities))
    report([section, index, key], `is the same as ${formatPath([section, first, key])}`);
}

function checkInstance(path: Path, instance: string | undefined, names: readonly string[], report: Report): void {
  if (instance === undefined || names.length === 0 || names.includes(instance)) return;
  report([...path, 'instance'], `no instance is named "${truncate(instance)}"${didYouMean(instance, names)}`);
}

function checkGroup(
  path: Path,
  group: PartlyValid<GroupKeys>,
  defaults: PartlyValid<Defaults>,
  names: readonly string[],
  report: Report,
): void {
  if (group.hasUnknownKeys || defaults.hasUnknownKeys) return;
  const has = (key: keyof Defaults) => group.has(key) || defaults.has(key);
  if (!has('every') && !has('cron')) report(path, 'needs "every" or "cron", here or in defaults');
  if (!has('instance') && names.length > 1) {
    const some = `${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`;
    report(path, `needs "instance": one of ${some}`);
  }
}

function toConfig(keys: FileKeys, file: string, hash: string): Config {
  const { api, retry, verify, ops, join } = keys;
  const onlyInstance = onlyOne(keys.instances.map(({ name }) => name));
  const groups = keys.groups.flatMap((group) => resolveGroup(group, keys.defaults, onlyInstance) ?? []);
  return {
    file,
    hash,
    api: { baseUrl: api.baseUrl, timeoutMs: api.timeout, settleTimeMs: api.settleTime },
    instances: keys.instances.flatMap((instance) => toInstance(instance, file) ?? []),
    groups,
    ...indexGroups(groups),
    retry: { attempts: retry.attempts, baseDelayMs: retry.baseDelay, maxDelayMs: retry.maxDelay },
    verify: typeof verify === 'object' ? { everyMs: verify.every } : null,
    results: keys.results,
    redis: toRedisConfig(keys.redis, file),
    ops: typeof ops === 'object' ? ops : null,
    join: { ...join, publicUrl: join.publicUrl ?? null, metrics: join.metrics ?? null },
    shutdownTimeoutMs: keys.shutdownTimeout,
  };
}

function indexGroups(groups: readonly GroupConfig[]): Pick<Config, 'groupsById' | 'groupsByJid'> {
  const byJid = groups.flatMap((group) =>
    group.identifier.kind === 'jid' ? [[group.identifier.jid, group] as const] : [],
  );
  return { groupsById: new Map(groups.map((group) => [group.id, group])), groupsByJid: new Map(byJid) };
}

/** Null if it names no token. */
function toInstance(keys: InstanceKeys, file: string): InstanceConfig | null {
  const { name, rateLimit, concurrency, pace } = keys;
  const { max, per, reserve } = rateLimit;
  const token = secretSource('token', keys, file);
  return token && { name, token, rateLimit: { max, perMs: per, reserve }, concurrency, paceMs: pace };
}

function onlyOne(names: readonly string[]): string | undefined {
  return names.length === 1 ? names[0] : undefined;
}

/** Finds the issues of a section or of an entry in it, with paths that start there. */
function indexIssues(issues: readonly Issue[]): (...place: Path) => readonly Issue[] {
  const byPlace = new Map<string, Issue[]>();
  for (const { code, path = [] } of issues) {
    const depth = typeof path[1] === 'number' ? 2 : 1;
    const place = path.slice(0, depth).join('.');
    const issue = { code, path: path.slice(depth) };
    byPlace.get(place)?.push(issue) ?? byPlace.set(place, [issue]);
  }
  return (...place) => byPlace.get(place.join('.')) ?? [];
}

/** The maps in a list, by their index. */
function entriesOf<T extends object>(
  list: unknown,
  issuesAt: (index: number) => readonly Issue[],
): Map<number, PartlyValid<T>> {
  const entries = (Array.isArray(list) ? list : []).flatMap((entry: unknown, index) =>
    isMap(entry) ? [[index, partlyValid(entry as T, issuesAt(index))] as const] : [],
  );
  return new Map(entries);
}

/** The texts that the entries of a list have under a key, valid or not; null for an entry without one. */
function textsOf(list: unknown, key: string): (string | null)[] {
  return (Array.isArray(list) ? list : []).map((entry: unknown) => {
    const value = isMap(entry) ? entry[key] : null;
    return typeof value === 'string' ? value : null;
  });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
