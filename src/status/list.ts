/** Which groups a view lists, page by page, the most urgent first: from all groups, or from the indexes if they are many. */
import { setImmediate } from 'node:timers/promises';
import type { Config, GroupConfig } from '../config/config.ts';
import { type ErrorCode, errorCodes } from '../contract/errorCodes.ts';
import { listSegment } from '../groups/counts.ts';
import { type GroupState, groupStates, type Segment } from '../groups/states.ts';
import type { Database } from '../redis/database.ts';
import type { GroupStatus } from './groupStatus.ts';
import { byUrgency, loadFromFile, loadRecords } from './load.ts';
import type { Indexed } from './summary.ts';

export interface View {
  /** Words; a group is listed if it contains each of them, in any case. */
  readonly search: string;
  /** From 1. A page behind the last is the last. */
  readonly page: number;
  /** Only groups in this state. Null or absent: all. */
  readonly state?: GroupState | null;
  /** Only groups of this instance. Null or absent: all. */
  readonly instance?: string | null;
}

/** One page of a view. */
export interface List {
  readonly groups: readonly GroupStatus[];
  readonly page: {
    readonly number: number;
    /** At least one. */
    readonly pages: number;
    /** Groups on a full page. */
    readonly size: number;
    /** Groups on all pages. */
    readonly found: number;
    /** A search among very many groups ends early: there may be more. */
    readonly isCut: boolean;
  };
}

/** Pure. `groups`: all of them, the most urgent first. */
export function listOf(groups: readonly GroupStatus[], view: View, size: number): List {
  const listed = groups.filter((group) => isListed(group, view));
  const page = pageOf(listed.length, view, size);
  return { groups: listed.slice((page.number - 1) * size, page.number * size), page };
}

function pageOf(found: number, { page }: View, size: number, isCut = false): List['page'] {
  const pages = Math.max(Math.ceil(found / size), 1);
  return { number: Math.min(page, pages), pages, size, found, isCut };
}

const wordsOf = (search: string) => search.toLowerCase().split(/\s+/).filter(Boolean);

function isListed(group: GroupStatus, { search, state, instance }: View): boolean {
  if (state && group.state !== state) return false;
  if (instance && group.instance !== instance) return false;
  const words = wordsOf(search);
  if (words.length === 0) return true;
  const text = textOf(group);
  return words.every((word) => text.includes(word));
}

/** What a group is searched by, in lower case. */
function textOf({ group, title, jid, instance, state, lastError, duplicateOf }: GroupStatus): string {
  const parts = [group, title, instance, state, jid, lastError?.code, lastError?.message, duplicateOf];
  return parts
    .map((part) => part ?? '')
    .join('\n')
    .toLowerCase();
}

/** Groups of one instance that are in one state. Null: those of the file that no worker has registered. */
interface Block {
  readonly instance: string;
  readonly segment: Segment | null;
  readonly groups: number;
}

/** From the indexes: only the records of the page are read. */
export async function readList(
  db: Database,
  config: Config,
  indexed: Indexed,
  { view, size }: { readonly view: View; readonly size: number },
): Promise<List> {
  const word = view.search.trim();
  const code = errorCodes.find((one) => one === word) ?? null;
  if (word !== '' && code === null) return await search(db, config, indexed, { view, size });
  const blocks = blocksOf(indexed, view, code);
  const page = pageOf(
    blocks.reduce((sum, { groups }) => sum + groups, 0),
    view,
    size,
  );
  const groups = await readBlocks(db, config, indexed, blocks, { skip: (page.number - 1) * size, limit: size });
  return { groups, page };
}

/** Most urgent first. */
function blocksOf({ counts, missing }: Indexed, { state: only, instance: of }: View, code: ErrorCode | null): Block[] {
  const own = counts.filter(({ instance }) => !of || instance === of);
  return groupStates.flatMap((state): Block[] => {
    if (only && state !== only) return [];
    const counted = own.flatMap(({ instance, counts: some }) =>
      some.flatMap((count) =>
        count.state === state && (code === null || count.code === code)
          ? [{ instance, segment: count, groups: count.groups }]
          : [],
      ),
    );
    if (state !== 'new' || code !== null) return counted;
    const unregistered = own.map(({ instance }) => ({ instance, segment: null, groups: missing.get(instance) ?? 0 }));
    return [...counted, ...unregistered.filter(({ groups }) => groups > 0)];
  });
}

async function readBlocks(
  db: Database,
  config: Config,
  { nowMs }: Indexed,
  blocks: readonly Block[],
  { skip, limit }: { readonly skip: number; readonly limit: number },
): Promise<GroupStatus[]> {
  const read: GroupStatus[] = [];
  let [toSkip, toRead] = [skip, limit];
  for (const { instance, segment, groups } of blocks) {
    const [skipped, some] = [Math.min(toSkip, groups), Math.min(groups - Math.min(toSkip, groups), toRead)];
    toSkip -= skipped;
    toRead -= some;
    if (some === 0) continue;
    const range = { skip: skipped, limit: some };
    if (segment === null)
      read.push(...(await loadFromFile(db, await unregistered(db, config, instance, range), nowMs)));
    else read.push(...(await loadRecords(db, config, await listSegment(db, instance, segment, range), nowMs)));
  }
  return read.sort(byUrgency);
}

/** Groups looked at between two turns of the event loop. */
const atOnce = 2_000;

/** Groups of an instance that no worker has registered yet, in the order of the file. */
async function unregistered(
  { redis, keys }: Database,
  { groups }: Config,
  instance: string,
  { skip, limit }: { readonly skip: number; readonly limit: number },
): Promise<GroupConfig[]> {
  const found: GroupConfig[] = [];
  for (let from = 0; from < groups.length && found.length < skip + limit; from += atOnce) {
    const some = groups.slice(from, from + atOnce).filter((group) => group.instance === instance);
    const known = await Promise.all(some.map(({ id }) => redis.hexists(keys.registered, id)));
    found.push(...some.filter((_, i) => known[i] === 0));
  }
  return found.slice(skip, skip + limit);
}

/** Groups whose records one search reads: the most urgent ones, and as many that match by what the file says of them. */
const maxSearched = 250;

async function search(
  db: Database,
  config: Config,
  indexed: Indexed,
  { view, size }: { readonly view: View; readonly size: number },
): Promise<List> {
  const { groups: named, isCut } = await searchFile(config, view);
  const urgent = blocksOf(indexed, { ...view, search: '' }, null).filter(({ segment }) => segment !== null);
  const [byName, byState] = await Promise.all([
    loadFromFile(db, named, indexed.nowMs),
    readBlocks(db, config, indexed, urgent, { skip: 0, limit: maxSearched }),
  ]);
  const both = new Map([...byState, ...byName].map((group) => [group.group, group]));
  const { groups, page } = listOf([...both.values()].sort(byUrgency), view, size);
  return { groups, page: { ...page, isCut } };
}

async function searchFile({ groups }: Config, { search: text, instance: of }: View) {
  const words = wordsOf(text);
  const found: GroupConfig[] = [];
  for (let from = 0; from < groups.length; from += atOnce) {
    for (const group of groups.slice(from, from + atOnce)) {
      const { id, title, instance, identifier } = group;
      if (of && instance !== of) continue;
      const shown = [id, title ?? '', instance, identifier.kind === 'jid' ? identifier.jid : '']
        .join('\n')
        .toLowerCase();
      if (!words.every((word) => shown.includes(word))) continue;
      if (found.length === maxSearched) return { groups: found, isCut: true };
      found.push(group);
    }
    await setImmediate();
  }
  return { groups: found, isCut: false };
}
