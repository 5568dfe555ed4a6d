/**
 * Holds the program's promises against what was seen from outside. Shares no code with the program. Each check returns
 * what it found, in words.
 */
import { answered } from './answers.ts';
import { bounded } from './deadLinks.ts';
import { type History, isForgotten, isRelearning, lastPlaces, type SeenEvent } from './history.ts';
import { neverAgain, ordered } from './order.ts';
import { groupBy, type Span } from './support.ts';

type Check = (history: History) => string[];

/** One machine's clocks are read at slightly different moments. */
const toleranceMs = 50;

const checks: Readonly<Record<string, Check>> = {
  'live: the newest event carries the live link': live,
  'live: no event tells of a link that we had replaced ourselves, or that its group never had': neverStale,
  'bounded: a dead link of ours lasts no longer than lease + settle time': bounded,
  'in force: every group is rotated under the id that the file has for it': (history) =>
    history.quiet ? notRotated(history) : [],
  'ordered: revisions grow, each names the one before': ordered,
  'believed little: no code that a group had before': neverAgain,
  'within the limit': withinLimit,
  'one at a time': oneAtATime,
  'answered: every one-off ends as a link or a failure': answered,
  'frugal: no reset while an earlier one could be read': frugal,
  'contained: one group that is refused costs its instance no more than one pause': contained,
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

function live(history: History): string[] {
  const { events, links, quiet, verify } = history;
  if (!quiet) return [];
  return lastPlaces(history).flatMap(({ jid, group }) => {
    const last = links[jid]?.at(-1);
    // Nobody looks for what people change, unless links are verified; one that we reset after that must be right again.
    if (!verify && last?.by === 'human') return [];
    return Object.entries(events).flatMap(([queue, seen]) => {
      // As consumers do: whatever comes again or late, the highest counts.
      const newest = linksOf(seen, ({ group: of }) => of === group)
        .sort((a, b) => (a.revision ?? 0) - (b.revision ?? 0))
        .at(-1);
      if (newest?.jid === jid && newest.inviteCode === last?.code) return [];
      return [`${queue}: ${group} (${jid}) holds ${newest?.inviteCode} of ${newest?.jid}, live is ${last?.code}`];
    });
  });
}

/** Groups that were not rotated under their last ids since calm came. */
export function notRotated({ calmAt, events, ...history }: History): string[] {
  if (calmAt === null) return [];
  const [seen = []] = Object.values(events);
  const rotated = new Set(
    seen
      .filter(({ type, rotatedAt }) => type === 'link.rotated' && Date.parse(rotatedAt ?? '') >= calmAt)
      .map(({ group, jid }) => `${group} ${jid}`),
  );
  return lastPlaces(history).flatMap(({ jid, group }) =>
    rotated.has(`${group} ${jid}`) ? [] : [`${group} (${jid}) was not rotated any more`],
  );
}

/** Only a human may make a link stale between its being made and our telling of it. */
function neverStale(history: History): string[] {
  const { events, links } = history;
  const [queue, seen] = Object.entries(events)[0] ?? ['', []];
  return seen.flatMap(({ id, jid, inviteCode, rotatedAt, type }) => {
    if (jid === null || inviteCode === null || rotatedAt === null) return [];
    const all = links[jid] ?? [];
    const at = all.findIndex(({ code }) => code === inviteCode);
    if (at === -1) return [`${queue}: ${id} carries a link that ${jid} never had`];
    const next = all[at + 1];
    const lateMs = Date.parse(rotatedAt) - (next?.from ?? 0);
    // What a cache showed to one that knows no older codes.
    if (isRelearning(history, Date.parse(rotatedAt))) return [];
    const isStale = type !== 'rotation.failed' && next?.by === 'us' && lateMs > toleranceMs;
    return isStale ? [`${queue}: ${id} carries a link that we had replaced ${lateMs} ms before`] : [];
  });
}

function withinLimit({ requests, limit: { max, perMs } }: History): string[] {
  const wrong: string[] = [];
  for (const ofToken of groupBy(requests, ({ token }) => token).values()) {
    const times = ofToken.flatMap(({ countedAt }) => countedAt ?? []).sort((a, b) => a - b);
    for (let from = 0, to = 0; to < times.length; to++) {
      while ((times[to] ?? 0) - (times[from] ?? 0) >= perMs) from++;
      if (to - from + 1 > max) wrong.push(`${to - from + 1} requests within ${perMs} ms`);
    }
  }
  const refused = requests.filter(({ status, countedAt }) => status === 429 && countedAt === null).length;
  if (refused > 0) wrong.push(`${refused} answers of 429 for the limit`);
  return wrong.slice(0, 3);
}

function oneAtATime(history: History): string[] {
  const { requests, links, settleMs } = history;
  return Object.keys(links).flatMap((jid) => {
    const resets = requests.filter((request) => request.endpoint === 'reset' && request.jid === jid);
    const wrong: string[] = [];
    let openUntil = Number.NEGATIVE_INFINITY;
    for (const { begin, end } of resets.sort((a, b) => a.begin - b.begin)) {
      // Of a call in flight an emptied Redis knows nothing.
      if (begin < openUntil && !isForgotten(history, openUntil - 2 * settleMs, begin))
        wrong.push(`${jid}: a reset began ${Math.round(openUntil - begin)} ms before another ended`);
      // What nobody answers is over after the settle time.
      openUntil = Math.max(openUntil, Math.min(end ?? Number.POSITIVE_INFINITY, begin + settleMs));
    }
    return wrong;
  });
}

/** A killed or frozen publisher's events lie in Redis for so long. */
const publishedMs = 20_000;

/**
 * A link that we made and never told of is lost work. It may be where a human's link has hidden it, or was taken for that
 * of the call which made it later, and where a cache has hidden it. Every edit is followed by a read, so none explains it.
 */
function frugal(history: History): string[] {
  const { events, links, quiet, requests } = history;
  const seen = Object.values(events)[0] ?? [];
  const ofJid = groupBy(seen, ({ jid }) => jid);
  return Object.entries(links).flatMap(([jid, all]) => {
    const own = linksOf(ofJid.get(jid) ?? [], () => true);
    const told = new Map(own.map(({ inviteCode, reason }) => [inviteCode, reason]));
    return all.flatMap(({ code, by, from }, i) => {
      const [before, next] = [all[i - 1], all[i + 1]];
      if (by !== 'us' || told.has(code) || isForgotten(history, from, (next?.from ?? history.at) + publishedMs))
        return [];
      // Events come in order, so one that another has overtaken does not come any more.
      if (!quiet && !all.slice(i).some((later) => told.has(later.code))) return [];
      if (next === undefined) return quiet ? [`${jid}: the last link made was never told of`] : [];
      const wasTaken = before !== undefined && (told.get(before.code) === 'recovery' || isRepeated(requests, code));
      if (next.by === 'human' || (before?.by === 'human' && wasTaken)) return [];
      if (isHidden(requests, jid, { from, to: next.from })) return [];
      return [`${jid}: ${code} was made and replaced without ever being told of`];
    });
  });
}

/** The answer to the reset that made this link named the link before it. */
function isRepeated(requests: History['requests'], code: string): boolean {
  return requests.some(({ fault, effect }) => fault === 'repeat' && effect?.code === code);
}

/** A cache showed an older link meanwhile. */
function isHidden(requests: History['requests'], jid: string, { from, to }: Span): boolean {
  return requests.some((seen) => seen.jid === jid && seen.fault === 'stale' && seen.begin >= from && seen.begin < to);
}

/** Why an instance may be paused in a storm without a poisoned group: several groups in a row meet faults. */
const ofFaults = ['server_error', 'bad_response', 'network_error', 'timeout', 'suspected'];

function contained({ pauses, troubles }: History): string[] {
  const poisonings = troubles.filter(({ kind }) => kind === 'poison').length;
  const ofPoison = pauses.filter(({ reason }) => !ofFaults.includes(reason));
  // One that is still going on is not noted yet.
  const more = ofPoison.slice(Math.max(poisonings, 1));
  return more.map(({ instance, reason, from }) => `${instance} was paused once more at ${from} (${reason})`);
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

/** Links in the order in which they came, repeats left out. */
function linksOf(seen: readonly SeenEvent[], isWanted: (event: SeenEvent) => boolean): SeenEvent[] {
  const ids = new Set<string>();
  return seen.filter((event) => {
    const { id, type } = event;
    if (!isWanted(event) || type === 'rotation.failed' || ids.has(id)) return false;
    ids.add(id);
    return true;
  });
}
