/**
 * `invite-rotator groups`: the WhatsApp groups that each instance is a member of, with the id under which the file has
 * them. `--yaml` prints entries for the others, ready to append.
 */
import type { Config, GroupConfig } from '../config/config.ts';
import { didYouMean } from '../config/nearMiss.ts';
import { idsFor, type NewGroup, renderEntries, surroundingsOf } from '../config/newEntries.ts';
import { readSource } from '../config/sources.ts';
import { type Asked, type Askers, openAskers } from '../online/asker.ts';
import type { ListedGroup } from '../ryze/lists.ts';
import { isFailure } from '../ryze/outcome.ts';
import { failureText } from '../ryze/policy.ts';
import { CommandError, type CommonOptions, readConfig } from './context.ts';
import { knownJids } from './knownJids.ts';
import { print } from './output.ts';
import { plainTable } from './table.ts';

export interface GroupsOptions extends CommonOptions {
  readonly instance?: string;
  readonly yaml?: boolean;
}

interface Listing {
  readonly instance: string;
  /** Sorted by name. */
  readonly groups: readonly ListedGroup[];
  /** Why there is no list. */
  readonly problem: string | null;
}

/** What the file says about WhatsApp groups. */
interface InFile {
  readonly byJid: ReadonlyMap<string, readonly GroupConfig[]>;
  /** Ids of groups that the file names by an invite link or code that leads to no known group. */
  readonly unresolved: readonly string[];
}

export async function groups(options: GroupsOptions): Promise<number> {
  if (options.yaml && options.json) throw new CommandError(2, '--yaml and --json: choose one of them');
  const config = await readConfig(options, { needsGroups: false });
  const askers = openAskers({ ...config, instances: instancesNamed(options.instance, config) }, process.env);
  try {
    const listings = await Promise.all(askers.all.map(listGroups));
    const inFile = await findInFile(config, askers, listings);
    if (options.yaml) await printYaml(config, listings, inFile);
    else if (options.json) await print(`${JSON.stringify(toJson(listings, inFile))}\n`);
    else
      await print(
        listings
          .filter(isListed)
          .map((listing) => renderListing(listing, inFile))
          .join('\n'),
      );
    const failed = listings.filter((listing) => !isListed(listing));
    for (const { instance, problem } of failed) process.stderr.write(`${instance}: ${problem}\n`);
    return failed.length === 0 ? 0 : 1;
  } finally {
    await askers.close();
  }
}

function instancesNamed(name: string | undefined, { instances, file }: Config): Config['instances'] {
  if (name === undefined) return instances;
  const found = instances.filter((instance) => instance.name === name);
  if (found.length > 0) return found;
  const names = instances.map((instance) => instance.name);
  throw new CommandError(2, `--instance: ${file} has no instance "${name}"${didYouMean(name, names)}`);
}

function isListed({ problem }: Listing): boolean {
  return problem === null;
}

async function listGroups({ instance: { name }, asker }: Asked): Promise<Listing> {
  if ('problem' in asker) return { instance: name, groups: [], problem: asker.problem };
  const outcome = await asker.groups();
  if (isFailure(outcome)) return { instance: name, groups: [], problem: failureText(outcome) };
  const sorted = [...outcome.list.groups].sort(
    (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }) || (a.jid < b.jid ? -1 : 1),
  );
  return { instance: name, groups: sorted, problem: null };
}

/** A link is looked up in Redis, then with one read, by its own instance if that one was asked. */
async function findInFile(config: Config, askers: Askers, listings: readonly Listing[]): Promise<InFile> {
  const known = new Map(await knownJids(config));
  const working = askers.all.filter((_, i) => listings[i]?.problem === null);
  const unresolved: string[] = [];
  for (const { id, identifier, instance } of config.groups) {
    if (identifier.kind === 'jid' || known.has(identifier.code)) continue;
    const { asker } = working.find((one) => one.instance.name === instance) ?? working[0] ?? {};
    const outcome = asker === undefined || 'problem' in asker ? null : await asker.info(identifier.code);
    if (outcome === null || isFailure(outcome)) unresolved.push(id);
    else known.set(identifier.code, outcome.jid);
  }
  const byJid = new Map<string, GroupConfig[]>();
  for (const group of config.groups) {
    const { identifier } = group;
    const jid = identifier.kind === 'jid' ? identifier.jid : known.get(identifier.code);
    if (jid !== undefined) byJid.set(jid, [...(byJid.get(jid) ?? []), group]);
  }
  return { byJid, unresolved };
}

function renderListing({ instance, groups: listed }: Listing, inFile: InFile): string {
  const missing = listed.filter(({ jid }) => !inFile.byJid.has(jid)).length;
  const table = plainTable(['NAME', 'JID', 'MEMBERS', 'IN THE FILE']);
  for (const group of listed) {
    const { jid, name, members } = group;
    table.push([name, jid, members === null ? '?' : String(members), idText(group, instance, inFile)]);
  }
  const lacks = inFile.unresolved.length === 0 || missing === 0 ? 'lacks' : 'may lack';
  const title = `${instance} is a member of ${countText(listed.length)}; the file ${lacks} ${missing}.`;
  return listed.length === 0 ? `${title}\n` : `${title}\n\n${table.toString()}\n`;
}

function countText(count: number): string {
  return count === 1 ? '1 group' : `${count} groups`;
}

function idText({ jid }: ListedGroup, instance: string, { byJid, unresolved }: InFile): string {
  const found = byJid.get(jid) ?? [];
  if (found.length > 0)
    return found.map((group) => group.id + (group.instance === instance ? '' : ` (${group.instance})`)).join(', ');
  return unresolved.length === 0 ? 'no' : `unknown: ${unresolvedText(unresolved)}`;
}

function unresolvedText([first = '', ...others]: readonly string[]): string {
  return others.length === 0 ? `${first} is named by a link` : `${others.length + 1} groups are named by a link`;
}

/** `inFile`: null if a group that the file names by a link may be this one. */
function toJson(listings: readonly Listing[], { byJid, unresolved }: InFile) {
  return {
    instances: listings.map(({ instance, groups: listed, problem }) => ({
      instance,
      groups: problem === null ? listed.length : null,
      problem,
    })),
    groups: listings.flatMap(({ instance, groups: listed }) =>
      listed.map(({ jid, name, members }) => {
        const [found] = byJid.get(jid) ?? [];
        const inFile = found === undefined ? (unresolved.length === 0 ? false : null) : true;
        return { instance, jid, name, members, id: found?.id ?? null, inFile };
      }),
    ),
    unresolved,
  };
}

async function printYaml(config: Config, listings: readonly Listing[], { byJid, unresolved }: InFile): Promise<void> {
  const read = await readSource(config.file);
  const fit = surroundingsOf(read.ok ? read.value.text : '');
  const namesInstance = config.instances.length > 1;
  const missing = new Map<string, NewGroup>();
  for (const { instance, groups: listed } of listings) {
    for (const { jid, name } of listed) {
      // The phones of two instances may be members of the same group. One entry rotates it.
      if (byJid.has(jid) || missing.has(jid)) continue;
      missing.set(jid, { jid, name, instance: namesInstance && instance !== fit.defaultInstance ? instance : null });
    }
  }
  if (missing.size === 0) {
    if (listings.some(isListed)) process.stderr.write(`${config.file} has all groups.\n`);
    return;
  }
  const entries = [...missing.values()];
  const start = `${fit.isLineOpen ? '\n' : ''}${fit.place === 'newList' ? 'groups:\n' : ''}`;
  const ids = idsFor(entries, config.groupsById.keys());
  await print(start + renderEntries(entries, ids, fit));
  if (fit.place === 'list')
    process.stderr.write(`Insert these into "groups" of ${config.file}: it is not at its end.\n`);
  if (unresolved.length > 0) {
    process.stderr.write(`One of these may be in ${config.file} already: ${unresolvedText(unresolved)}.\n`);
  }
}
