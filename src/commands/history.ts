/** `invite-rotator history`: the revisions of groups' links, with who asked for each and why. */
import { readHistory } from '../groups/history.ts';
import type { Revision } from '../groups/revisions.ts';
import { createGroupStore, RecordError, readable } from '../groups/store.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { type CommonOptions, durationOption, readRedisConfig, withRedis } from './context.ts';
import { findAll } from './links.ts';
import { print } from './output.ts';
import { plainTable } from './table.ts';

export interface HistoryOptions extends CommonOptions {
  readonly since?: string;
}

interface Line extends Revision {
  readonly current: string;
  readonly recordId: string;
}

/** Groups read at the same time. */
const chunk = 250;

/** `name`: a group, or a link that one has or had. Without it: every group. */
export async function history(name: string | undefined, options: HistoryOptions): Promise<number> {
  const sinceMs = options.since === undefined ? null : durationOption('--since', options.since, '12h or 7d');
  return await withRedis(await readRedisConfig(options), async (db) => {
    const { groups, unknown } = await findAll(createGroupStore(db), name === undefined ? [] : [name]);
    const earliest = sinceMs === null ? 0 : (await redisTime(db)) - sinceMs;
    const lines: Line[] = [];
    for (let from = 0; from < groups.length; from += chunk) {
      const read = await Promise.all(groups.slice(from, from + chunk).map((one) => linesOf(db, one)));
      lines.push(...read.flat().filter((line) => line.from >= earliest));
    }
    lines.sort((a, b) => b.revision - a.revision);
    if (options.json) await print(`${JSON.stringify(lines.map(toJson))}\n`);
    else if (lines.length > 0) await print(`${render(lines)}\n`);
    else if (unknown.length === 0) process.stderr.write(`no revisions${sinceMs === null ? ' yet' : ' in that time'}\n`);
    for (const problem of unknown) process.stderr.write(`${problem}\n`);
    return unknown.length === 0 ? 0 : 2;
  });
}

async function linesOf(
  db: Database,
  { group, recordId }: { readonly group: string; readonly recordId: string },
): Promise<Line[]> {
  const revisions = await readable(readHistory(db, recordId));
  if (revisions instanceof RecordError) {
    process.stderr.write(`${revisions.message}\n`);
    return [];
  }
  return revisions.map((revision) => ({ ...revision, current: group, recordId }));
}

/** `group`: the id that the group has now. `publishedAs`: the id under which this link was published. */
function toJson({ current, recordId, group, revision, code, link, from, until, reason, request }: Line) {
  return {
    group: current,
    jid: recordId,
    publishedAs: group,
    revision,
    inviteCode: code,
    inviteLink: link,
    from: new Date(from).toISOString(),
    until: until === null ? null : new Date(until).toISOString(),
    reason,
    request,
  };
}

function render(lines: readonly Line[]): string {
  const table = plainTable(['FROM', 'UNTIL', 'GROUP', 'LINK', 'REASON', 'REQUESTED BY', 'WHY']);
  for (const { from, until, current, group, link, reason, request } of lines) {
    table.push([
      timeText(from),
      until === null ? 'now' : timeText(until),
      group === current ? group : `${current} (as ${group})`,
      link,
      reason ?? '-',
      request?.requestedBy ?? '-',
      request?.reason ?? '-',
    ]);
  }
  return table.toString();
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
