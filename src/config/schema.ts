/**
 * The configuration as one zod schema: the sections of its files, and what must hold between them. One parse reports
 * every problem, and gives the configuration if there is none. `assemble` is the shorter way for files that are valid
 * each. The JSON Schemas for editors come from `fileSchema` and `includedSchema`.
 */
import { z } from 'zod';
import { identifierText, parseIdentifier } from '../ryze/identifier.ts';
import type { Config, GroupConfig, InstanceConfig } from './config.ts';
import { checkDemand } from './demand.ts';
import { type Defaults, defaultsSchema, type GroupKeys, groupResolver, groupSchema } from './groupSchema.ts';
import { includeSchema } from './include.ts';
import { didYouMean } from './nearMiss.ts';
import { formatNames, formatPath, type Path, truncate } from './problems.ts';
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

const sections = map({
  api: section(apiSchema),
  instances: list(instanceSchema).describe('RyzeAPI instances: WhatsApp numbers'),
  defaults: section(defaultsSchema).describe('Any key of a group but id, identifier and title'),
  groups: z
    .array(groupSchema)
    .nullish()
    .transform((groups) => groups ?? []),
  include: includeSchema,
  retry: section(retrySchema),
  verify: section(unlessOff(verifySchema)).describe(
    'Reads links back, to notice those that a person changed; "off" turns it off',
  ),
  results: section(resultsSchema),
  redis: section(redisSchema),
  ops: section(unlessOff(opsSchema)).describe('Health, metrics and a status page over HTTP; "off" turns them off'),
  join: section(joinSchema).describe('Stable addresses, served by `invite-rotator join`'),
  shutdownTimeout: duration(0, hourMs).prefault('40s').describe('After a signal, work in flight may take this long'),
});
const groupList = list(groupSchema).describe('Groups whose invite links are rotated');

/** For editors. */
export const fileSchema = sections
  .extend({ groups: groupList.optional() })
  .meta({ anyOf: [{ required: ['groups'] }, { required: ['include'] }] });

const mainFileOnly = 'belongs into the main file: an included file has only "groups"';

/** A file that the main file includes. Its list may be empty, because programs write such files. */
export const includedSchema = map(
  { groups: z.array(groupSchema).describe(`${groupList.description}`) },
  Object.fromEntries(Object.keys(sections.shape).map((key) => [key, mainFileOnly])),
);

/** The keys of all files: those of the main file, with the groups of every file. */
export type FileKeys = z.output<typeof sections>;
type InstanceKeys = z.output<typeof instanceSchema>;

export interface ConfigRules {
  /** False: the list of groups may be missing or empty. */
  readonly needsGroups?: boolean;
}

/** What a configuration needs besides the keys. */
export interface Origin {
  /** The absolute path of the main file. Relative paths in it start at its folder. */
  readonly file: string;
  /** Of the texts. */
  readonly hash: string;
  readonly included: Config['included'];
}

/** The keys of the main file alone. It may have no groups. */
export const mainSchema = sections;

/** The configuration of valid files; null if they do not fit together. */
export function assemble(keys: FileKeys, origin: Origin): Config | null {
  let fits = true;
  const groups = checkSections(keys, [], origin.file, formatPath, () => {
    fits = false;
  });
  return fits ? deepFreeze(toConfig(keys, origin, groups)) : null;
}

/**
 * Of the keys of all files together. `nameOf`: how a message names the place of a value, for the report of another one.
 */
export function configSchema(origin: Origin, needsGroups: boolean, nameOf: (path: Path, from: Path) => string) {
  let groups: GroupConfig[] = [];
  return (needsGroups ? sections.extend({ groups: groupList }) : sections)
    .superRefine(
      (keys, context) => {
        groups = checkSections(keys, context.issues, origin.file, nameOf, reportTo(context));
      },
      { when: ({ value }) => isMap(value) },
    )
    .transform((keys) => deepFreeze(toConfig(keys, origin, groups)));
}

/** Checks what is valid, so that a problem in one section does not hide those in others. Returns the valid groups. */
function checkSections(
  keys: FileKeys,
  issues: readonly Issue[],
  file: string,
  nameOf: (path: Path, from: Path) => string,
  report: Report,
): GroupConfig[] {
  const issuesAt = indexIssues(issues);
  const instances = entriesOf<InstanceKeys>(keys.instances, (index) => issuesAt('instances', index));
  const groups = entriesOf<GroupKeys>(keys.groups, (index) => issuesAt('groups', index));
  const defaults = partlyValid(isMap(keys.defaults) ? keys.defaults : {}, issuesAt('defaults'));

  checkUnique(['instances', 'name'], keys.instances, (name) => name, nameOf, report);
  checkUnique(['groups', 'id'], keys.groups, (id) => id, nameOf, report);
  checkUnique(['groups', 'identifier'], keys.groups, identityOf, nameOf, report);

  // The name of an instance counts also if something else about it is wrong.
  const names = namesOf(keys.instances);
  checkInstance(['defaults'], defaults.valid.instance, names, report);
  for (const [index, group] of groups) {
    checkInstance(['groups', index], group.valid.instance, names, report);
    checkGroup(['groups', index], group, defaults, names, report);
  }

  const validInstances = [...instances].flatMap(([index, { whole }]) => {
    const instance = whole && toInstance(whole, file);
    return instance === null ? [] : [[index, instance] as const];
  });
  const resolve = defaults.whole && groupResolver(defaults.whole, onlyOne(names));
  const validGroups = [...groups.values()].flatMap(({ whole }) => (whole && resolve?.(whole)) ?? []);
  checkDemand(new Map(validInstances), validGroups, report);
  return validGroups;
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
  nameOf: (path: Path, from: Path) => string,
  report: Report,
): void {
  const identities = textsOf(entries, key).map((text) => (text === null ? null : identity(text)));
  for (const { index, first } of duplicatesIn(identities)) {
    const path = [section, index, key];
    report(path, `is the same as ${nameOf([section, first, key], path)}`);
  }
}

function checkInstance(path: Path, instance: string | undefined, names: ReadonlySet<string>, report: Report): void {
  if (instance === undefined || names.size === 0 || names.has(instance)) return;
  report([...path, 'instance'], `no instance is named "${truncate(instance)}"${didYouMean(instance, [...names])}`);
}

function checkGroup(
  path: Path,
  group: PartlyValid<GroupKeys>,
  defaults: PartlyValid<Defaults>,
  names: ReadonlySet<string>,
  report: Report,
): void {
  if (group.hasUnknownKeys || defaults.hasUnknownKeys) return;
  const has = (key: keyof Defaults) => group.has(key) || defaults.has(key);
  if (!has('every') && !has('cron')) report(path, 'needs "every" or "cron", here or in defaults');
  if (!has('instance') && names.size > 1) {
    report(path, `needs "instance": one of ${formatNames([...names], 5)}`);
  }
}

function toConfig(keys: FileKeys, { file, hash, included }: Origin, groups: readonly GroupConfig[]): Config {
  const { api, retry, verify, ops, join } = keys;
  return {
    file,
    hash,
    included,
    api: { baseUrl: api.baseUrl, timeoutMs: api.timeout, settleTimeMs: api.settleTime },
    instances: keys.instances.flatMap((instance) => toInstance(instance, file) ?? []),
    groups,
    ...indexGroups(groups),
    retry: { attempts: retry.attempts, baseDelayMs: retry.baseDelay, maxDelayMs: retry.maxDelay },
    verify: typeof verify === 'object' ? { everyMs: verify.every, share: verify.share } : null,
    results: keys.results,
    redis: toRedisConfig(keys.redis, file),
    ops: typeof ops === 'object' ? ops : null,
    join: { ...join, publicUrl: join.publicUrl ?? null, metrics: join.metrics ?? null },
    shutdownTimeoutMs: keys.shutdownTimeout,
  };
}

export function indexGroups(groups: readonly GroupConfig[]): Pick<Config, 'groupsById' | 'groupsByJid'> {
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

function onlyOne(names: ReadonlySet<string>): string | undefined {
  const [first] = names;
  return names.size === 1 ? first : undefined;
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

/** The names of a list of instances, each once. */
function namesOf(instances: unknown): ReadonlySet<string> {
  return new Set(textsOf(instances, 'name').filter((name) => name !== null));
}

/** The texts that the entries of a list have under a key, valid or not; null for an entry without one. */
function textsOf(list: unknown, key: string): (string | null)[] {
  return (Array.isArray(list) ? list : []).map((entry: unknown) => {
    const value = isMap(entry) ? entry[key] : null;
    return typeof value === 'string' ? value : null;
  });
}

export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
