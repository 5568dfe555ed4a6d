/** `invite-rotator links`: the current links, without taking anything off a queue. */
import { unknownGroup } from '../client/unknownGroup.ts';
import { findGroup } from '../groups/jids.ts';
import { type GroupRecord, isScheduled, knownLink } from '../groups/record.ts';
import { createGroupStore, type GroupStore, RecordError, readable } from '../groups/store.ts';
import { type CommonOptions, readRedisConfig, withRedis } from './context.ts';
import { print } from './output.ts';
import { plainTable } from './table.ts';

/** A group's link as JSON. The link fields are null if it has none yet; `remark` says why. */
interface LinkLine {
  readonly group: string;
  readonly jid: string | null;
  readonly inviteCode: string | null;
  readonly inviteLink: string | null;
  readonly revision: number | null;
  readonly rotatedAt: string | null;
  readonly reason: string | null;
  readonly nextRotationAt: string | null;
  readonly remark: string | null;
}

/** Groups read at the same time. */
const chunk = 250;

export async function links(names: readonly string[], options: CommonOptions): Promise<number> {
  return await withRedis(await readRedisConfig(options), async (db) => {
    const store = createGroupStore(db);
    const { groups, unknown } = await findAll(store, names);
    const lines: LinkLine[] = [];
    for (let from = 0; from < groups.length; from += chunk) {
      lines.push(...(await Promise.all(groups.slice(from, from + chunk).map((one) => read(store, one)))));
    }
    if (options.json) await print(`${JSON.stringify(lines)}\n`);
    else if (lines.length > 0) await print(`${render(lines)}\n`);
    else if (names.length === 0) process.stderr.write('no group is registered: is the worker running?\n');
    for (const problem of unknown) process.stderr.write(`${problem}\n`);
    return unknown.length === 0 ? 0 : 2;
  });
}

interface Named {
  readonly group: string;
  readonly recordId: string;
}

/** The groups of these names, each once, or all groups by their ids. `unknown`: a line for each name that is none. */
export async function findAll(
  store: GroupStore,
  names: readonly string[],
): Promise<{ readonly groups: readonly Named[]; readonly unknown: readonly string[] }> {
  const registrations = [...(await store.registrations())].filter(([, known]) => known?.removedAt === null);
  const ids = registrations.map(([id]) => id).sort();
  if (names.length === 0) {
    const recordIds = new Map(registrations.map(([id, known]) => [id, known?.recordId ?? id]));
    return { groups: ids.map((group) => ({ group, recordId: recordIds.get(group) ?? group })), unknown: [] };
  }
  const found = await Promise.all(names.map((name) => findGroup(store, name)));
  const groups = found.flatMap((one) => (one === null ? [] : [{ group: one.entry.group, recordId: one.recordId }]));
  return {
    groups: [...new Map(groups.map((one) => [one.group, one])).values()],
    unknown: names.filter((_, i) => found[i] === null).map((name) => unknownGroup(name, 'not registered', ids)),
  };
}

async function read(store: GroupStore, { group, recordId }: Named): Promise<LinkLine> {
  const none = { jid: null, inviteCode: null, inviteLink: null, revision: null, rotatedAt: null };
  const loaded = await readable(store.load(recordId));
  if (loaded instanceof RecordError) {
    return { group, ...none, reason: null, nextRotationAt: null, remark: loaded.message };
  }
  const { record } = loaded;
  const { jid, dueAt, reason } = record;
  const link = knownLink(record);
  const nextRotationAt = dueAt === null || !isScheduled(record) ? null : new Date(dueAt).toISOString();
  const remark = link === null ? whyNone(record) : remarkOn(record);
  return { group, ...none, jid, ...link, reason: link === null ? null : reason, nextRotationAt, remark };
}

/** Why the group has no link yet. */
function whyNone({ entry, duplicateOf, failure, uncertain, unverified }: GroupRecord): string {
  if (entry === null) return 'Redis has lost its record; the worker registers it again';
  if (duplicateOf !== null) return `the same WhatsApp group as ${duplicateOf}`;
  if (uncertain !== null) return 'a reset had no answer; the link is being read back';
  if (failure !== null) return `${failure.code}: ${failure.message}`;
  if (unverified > 0) return 'the API has not shown its link';
  return 'not read yet';
}

function remarkOn({ uncertain, removedAt }: GroupRecord): string | null {
  if (uncertain !== null) return 'may have been replaced: a reset had no answer, and the link is being read back';
  return removedAt === null ? null : 'left the configuration file';
}

function render(lines: readonly LinkLine[]): string {
  const table = plainTable(['GROUP', 'LINK', 'SINCE', 'REASON', 'REMARK']);
  for (const { group, inviteLink, rotatedAt, reason, remark } of lines) {
    table.push([group, inviteLink ?? '-', rotatedAt ?? '-', reason ?? '-', remark ?? '']);
  }
  return table.toString();
}
