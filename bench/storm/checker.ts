/**
 * Holds the program's promises against what was seen from outside. Shares no code with the program. Each check returns
 * what it found, in words.
 */
import type { History, SeenEvent } from './history.ts';

type Check = (history: History) => string[];

/** One machine's clocks are read at slightly different moments. */
const toleranceMs = 50;

const checks: Readonly<Record<string, Check>> = {
  'live: the newest event carries the live link': live,
  'live: no event tells of a link that we had replaced ourselves': neverStale,
  'ordered: revisions grow, each names the one before': ordered,
  'within the limit': withinLimit,
  'one at a time': oneAtATime,
  'answered: every one-off ends as a link or a failure': answered,
  'frugal: no reset while an earlier one could be read': frugal,
  'silent about secrets': silent,
};

export interface Finding {
  readonly promise: string;
  readonly found: readonly string[];
}

export function check(history: History): Finding[] {
  return Object.entries(checks)
    .map(([promise, run]) => ({ promise, found: run(history) }))
    .filter(({ found }) => found.length > 0);
}

function live({ events, groups, links, quiet }: History): string[] {
  if (!quiet) return [];
  return Object.entries(groups).flatMap(([jid, group]) => {
    const now = links[jid]?.at(-1)?.code;
    return Object.entries(events).flatMap(([queue, seen]) => {
      // As consumers do: whatever comes again or late, the highest counts.
      const newest = linksOf(seen, group)
        .sort((a, b) => (a.revision ?? 0) - (b.revision ?? 0))
        .at(-1);
      return newest?.inviteCode === now ? [] : [`${queue}: ${group} holds ${newest?.inviteCode}, live is ${now}`];
    });
  });
}

/** Only a human may make a link stale between its being made and our telling of it. */
function neverStale({ events, links }: History): string[] {
  const [queue, seen] = Object.entries(events)[0] ?? ['', []];
  return seen.flatMap(({ id, jid, inviteCode, rotatedAt, type }) => {
    if (type === 'rotation.failed' || jid === null || rotatedAt === null) return [];
    const all = links[jid] ?? [];
    const at = all.findIndex(({ code }) => code === inviteCode);
    if (at === -1) return [`${queue}: ${id} carries a link that never was`];
    const next = all[at + 1];
    const stale = next !== undefined && next.by === 'us' && next.from < Date.parse(rotatedAt) - toleranceMs;
    return stale
      ? [`${queue}: ${id} carries a link that we had replaced ${Date.parse(rotatedAt) - next.from} ms before`]
      : [];
  });
}

function ordered({ events, added, groups }: History): string[] {
  return Object.entries(events).flatMap(([queue, seen]) => {
    const byId = new Map(seen.map((event) => [event.id, event]));
    const inOrder = (added[queue] ?? []).flatMap((id) => byId.get(id) ?? []);
    return Object.values(groups).flatMap((group) => {
      let before: SeenEvent | undefined;
      const wrong: string[] = [];
      for (const event of linksOf(inOrder, group)) {
        const { id, revision, previousRevision, previousInviteCode } = event;
        if (event.inviteCode === previousInviteCode) wrong.push(`${queue}: ${id} tells of no change`);
        if (id !== `${group}.${revision}`) wrong.push(`${queue}: ${id} has revision ${revision}`);
        if (before !== undefined) {
          if ((revision ?? 0) <= (before.revision ?? 0)) wrong.push(`${queue}: ${id} came after ${before.id}`);
          if (previousRevision !== before.revision || previousInviteCode !== before.inviteCode) {
            wrong.push(`${queue}: ${id} names ${previousRevision} as the one before, which was ${before.revision}`);
          }
        } else if (previousRevision !== null) wrong.push(`${queue}: ${id} is the first, and names one before`);
        before = event;
      }
      return wrong;
    });
  });
}

function withinLimit({ requests, limit: { max, perMs } }: History): string[] {
  const wrong: string[] = [];
  const times = requests.flatMap(({ countedAt }) => countedAt ?? []).sort((a, b) => a - b);
  for (let from = 0, to = 0; to < times.length; to++) {
    while ((times[to] ?? 0) - (times[from] ?? 0) >= perMs) from++;
    if (to - from + 1 > max) wrong.push(`${to - from + 1} requests within ${perMs} ms`);
  }
  const refused = requests.filter(({ status, countedAt }) => status === 429 && countedAt === null).length;
  if (refused > 0) wrong.push(`${refused} answers of 429 for the limit`);
  return wrong.slice(0, 3);
}

function oneAtATime({ requests, links, settleMs }: History): string[] {
  return Object.keys(links).flatMap((jid) => {
    const resets = requests.filter((request) => request.endpoint === 'reset' && request.jid === jid);
    const wrong: string[] = [];
    let openUntil = Number.NEGATIVE_INFINITY;
    for (const { begin, end } of resets.sort((a, b) => a.begin - b.begin)) {
      if (begin < openUntil)
        wrong.push(`${jid}: a reset began ${Math.round(openUntil - begin)} ms before another ended`);
      // What nobody answers is over after the settle time.
      openUntil = Math.max(openUntil, Math.min(end ?? Number.POSITIVE_INFINITY, begin + settleMs));
    }
    return wrong;
  });
}

function answered({ jobs, events, links, quiet }: History): string[] {
  return jobs.flatMap(({ requestId, jid, askedAt, state, failedReason, result }) => {
    if (state === 'completed') {
      if (result === null) return [`${requestId} completed with nothing`];
      const link = links[jid]?.find(({ code }) => code === result.inviteCode);
      if (link === undefined) return [`${requestId} was answered with a link that never was`];
      // A human's link that was read back after a call without an answer may be older.
      const older = link.from < askedAt - toleranceMs && link.by !== 'human';
      return older ? [`${requestId} was answered with a link older than itself (${result.status})`] : [];
    }
    if (state !== 'failed') return quiet ? [`${requestId} is still ${state}`] : [];
    if (!/^[a-z_]+: /.test(failedReason ?? '')) return [`${requestId} failed without a code: ${failedReason}`];
    return Object.entries(events).flatMap(([queue, seen]) =>
      quiet && !seen.some(({ type, request }) => type === 'rotation.failed' && request?.requestId === requestId)
        ? [`${queue}: no event tells that ${requestId} failed`]
        : [],
    );
  });
}

/**
 * A link that we made and never told of is lost work. It may be: before the first link that was told of nothing is
 * known to compare with, and a human's link may have hidden it, or was taken for that of the call which made it later.
 */
function frugal({ events, groups, links, quiet }: History): string[] {
  const seen = Object.values(events)[0] ?? [];
  return Object.entries(links).flatMap(([jid, all]) => {
    const own = linksOf(seen, groups[jid] ?? '');
    const told = new Map(own.map(({ inviteCode, reason }) => [inviteCode, reason]));
    const first = all.findIndex(({ code }) => told.has(code));
    return all.flatMap(({ code, by }, i) => {
      const [before, next] = [all[i - 1], all[i + 1]];
      if (by !== 'us' || told.has(code) || i < first || first === -1) return [];
      if (next === undefined) return quiet ? [`${groups[jid]}: the last link made was never told of`] : [];
      const mistaken = before?.by === 'human' && told.get(before.code) === 'recovery';
      if (mistaken || next.by === 'human') return [];
      return [`${groups[jid]}: a link was made and replaced without ever being told of`];
    });
  });
}

/** In one pass: megabytes are searched for thousands of secrets, each of which is longer than its beginning. */
function silent({ output, secrets }: History): string[] {
  const length = Math.min(...secrets.map((secret) => secret.length), 12);
  const byBeginning = new Map<string, string[]>();
  for (const secret of secrets) {
    const beginning = secret.slice(0, length);
    byBeginning.set(beginning, [...(byBeginning.get(beginning) ?? []), secret]);
  }
  const told = new Set<string>();
  for (let at = 0; at + length <= output.length; at++) {
    for (const secret of byBeginning.get(output.slice(at, at + length)) ?? []) {
      if (output.startsWith(secret, at)) told.add(secret);
    }
  }
  return told.size === 0 ? [] : [`${told.size} tokens, links or codes are in what the workers wrote or showed`];
}

/** A group's links in the order in which they came, repeats left out. */
function linksOf(seen: readonly SeenEvent[], group: string): SeenEvent[] {
  const ids = new Set<string>();
  return seen.filter(({ id, type, group: of }) => {
    if (of !== group || type === 'rotation.failed' || ids.has(id)) return false;
    ids.add(id);
    return true;
  });
}
