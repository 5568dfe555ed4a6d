/**
 * Checks the promises of the program against what was observed from outside. It shares no code with the program. Each
 * check returns one line for each violation.
 */
import { answered } from './answers.ts';
import { bounded } from './deadLinks.ts';
import { type History, isForgotten, isRelearning, lastPlaces, type SeenEvent } from './history.ts';
import { noReuse, ordered } from './order.ts';
import { groupBy, type Span } from './support.ts';

type Check = (history: History) => string[];

/** Tolerance for times that processes of one machine read at slightly different moments. */
const toleranceMs = 50;

const checks: Readonly<Record<string, Check>> = {
  'live: the newest event carries the live link': live,
  'live: no event carries a link that we had already replaced or that its group never had': neverStale,
  'bounded: consumers hold a link that we replaced no longer than lease + settle time': bounded,
  'in force: every group is rotated under the id that the file gives it': (history) =>
    history.quiet ? notRotated(history) : [],
  'ordered: revisions grow, and each event names the one before': ordered,
  'no reuse: no event carries a code that its group had before': noReuse,
  'within the limit': withinLimit,
  'one at a time': oneAtATime,
  'answered: every one-off ends with a link or a failure': answered,
  'frugal: no reset while the link of an earlier one could be read': frugal,
  'contained: one group that is always refused costs its instance at most one pause': contained,
  'silent about secrets': silent,
};

export interface Finding {
  readonly promise: string;
  readonly violations: readonly string[];
}

export function check(history: History): Finding[] {
  return Object.entries(checks)
    .map(([promise, run]) => ({ promise, violations: run(history) }))
    .filter(({ violations }) => violations.length > 0);
}

function live(history: History): string[] {
  const { events, links, quiet, verify } = history;
  if (!quiet) return [];
  return lastPlaces(history).flatMap(({ jid, group }) => {
    const last = links[jid]?.at(-1);
    // Without verification, a link that a person made may stay undetected until our next reset.
    if (!verify && last?.by === 'human') return [];
    return Object.entries(events).flatMap(([queue, seen]) => {
      // Like a consumer, keep the highest revision, whatever arrives late or twice.
      const newest = linksOf(seen, ({ group: of }) => of === group)
        .sort((a, b) => (a.revision ?? 0) - (b.revision ?? 0))
        .at(-1);
      if (newest?.jid === jid && newest.inviteCode === last?.code) return [];
      return [`${queue}: ${group} (${jid}) holds ${newest?.inviteCode} of ${newest?.jid}, live is ${last?.code}`];
    });
  });
}

/** Groups that were not rotated under their last ids since the faults stopped. */
export function notRotated({ calmAt, events, ...history }: History): string[] {
  if (calmAt === null) return [];
  const [seen = []] = Object.values(events);
  const rotated = new Set(
    seen
      .filter(({ type, rotatedAt }) => type === 'link.rotated' && Date.parse(rotatedAt ?? '') >= calmAt)
      .map(({ group, jid }) => `${group} ${jid}`),
  );
  return lastPlaces(history).flatMap(({ jid, group }) =>
    rotated.has(`${group} ${jid}`) ? [] : [`${group} (${jid}) was not rotated after the faults stopped`],
  );
}

/** Only a person may replace a link between our reset and its event. */
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
    // After Redis was emptied the program knows no older codes, so it may believe a cache.
    if (isRelearning(history, Date.parse(rotatedAt))) return [];
    const isStale = type !== 'rotation.failed' && next?.by === 'us' && lateMs > toleranceMs;
    return isStale ? [`${queue}: ${id} carries a link that we had replaced ${lateMs} ms earlier`] : [];
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

/** How long after a worker was killed another one may still be starting. */
const restartedMs = 15_000;

function oneAtATime(history: History): string[] {
  const { requests, links, settleMs, incidents } = history;
  // A worker that started after Redis was emptied cannot tell that a group was registered before.
  const isExcused = (from: number, to: number) =>
    isForgotten(history, from, to) &&
    incidents.some(({ kind, ...when }) => /^(kill|noWorker)$/.test(kind) && when.to >= from && when.from <= to);
  return Object.keys(links).flatMap((jid) => {
    const resets = requests.filter((request) => request.endpoint === 'reset' && request.jid === jid);
    const wrong: string[] = [];
    let openUntil = Number.NEGATIVE_INFINITY;
    for (const { begin, end } of resets.sort((a, b) => a.begin - b.begin)) {
      if (begin < openUntil && !isExcused(openUntil - restartedMs, begin))
        wrong.push(`${jid}: a reset started ${Math.round(openUntil - begin)} ms before another one ended`);
      // A call without an answer can have no effect after the settle time.
      openUntil = Math.max(openUntil, Math.min(end ?? Number.POSITIVE_INFINITY, begin + settleMs));
    }
    return wrong;
  });
}

/** How long events may stay unpublished in Redis when their publisher is killed or frozen. */
const publishedMs = 20_000;

/**
 * A link that we made and never published is a wasted reset. Three things excuse it: a person replaced it before it was
 * read, the program took the link of a person for its own, or a cache hid it. An edit does not, since a read follows each.
 */
function frugal(history: History): string[] {
  const { events, links, quiet, requests } = history;
  const seen = Object.values(events)[0] ?? [];
  const ofJid = groupBy(seen, ({ jid }) => jid);
  return Object.entries(links).flatMap(([jid, all]) => {
    const own = linksOf(ofJid.get(jid) ?? [], () => true);
    const published = new Map(own.map(({ inviteCode, reason }) => [inviteCode, reason]));
    return all.flatMap(({ code, by, from }, i) => {
      const [before, next] = [all[i - 1], all[i + 1]];
      if (by !== 'us' || published.has(code) || isForgotten(history, from, (next?.from ?? history.at) + publishedMs))
        return [];
      // Events are published in order: once a later link was published, this one will not be.
      if (!quiet && !all.slice(i).some((later) => published.has(later.code))) return [];
      if (next === undefined) return quiet ? [`${jid}: the last link was never published`] : [];
      const wasTaken =
        before !== undefined && (published.get(before.code) === 'recovery' || isRepeated(requests, code));
      if (next.by === 'human' || (before?.by === 'human' && wasTaken)) return [];
      if (isHidden(requests, jid, { from, to: next.from })) return [];
      return [`${jid}: ${code} was made and replaced without ever being published`];
    });
  });
}

/** Whether the answer to the reset that made this link carried the previous link. */
function isRepeated(requests: History['requests'], code: string): boolean {
  return requests.some(({ fault, effect }) => fault === 'repeat' && effect?.code === code);
}

/** Whether a cache showed an older link in that span. */
function isHidden(requests: History['requests'], jid: string, { from, to }: Span): boolean {
  return requests.some((seen) => seen.jid === jid && seen.fault === 'stale' && seen.begin >= from && seen.begin < to);
}

/** Pause reasons that random faults explain: several groups in a row met them. */
const faultReasons = ['server_error', 'bad_response', 'network_error', 'timeout', 'suspected'];

function contained({ pauses, incidents }: History): string[] {
  const poisonings = incidents.filter(({ kind }) => kind === 'poison').length;
  const ofPoison = pauses.filter(({ reason }) => !faultReasons.includes(reason));
  const more = ofPoison.slice(poisonings);
  return more.map(({ instance, reason, from }) => `${instance} was paused again at ${from} (${reason})`);
}

/** Searches megabytes for thousands of secrets in one pass, by a prefix of each. */
function silent({ output, secrets }: History): string[] {
  const length = Math.min(...secrets.map((secret) => secret.length), 12);
  const byPrefix = new Map<string, string[]>();
  for (const secret of secrets) {
    const prefix = secret.slice(0, length);
    byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), secret]);
  }
  const leaked = new Set<string>();
  for (let at = 0; at + length <= output.length; at++) {
    for (const secret of byPrefix.get(output.slice(at, at + length)) ?? []) {
      if (output.startsWith(secret, at)) leaked.add(secret);
    }
  }
  return leaked.size === 0
    ? []
    : [`${leaked.size} tokens, links or codes are in the output or on the pages of the workers`];
}

/** Events with a link in the order of receipt, without repeats. */
function linksOf(seen: readonly SeenEvent[], isWanted: (event: SeenEvent) => boolean): SeenEvent[] {
  const ids = new Set<string>();
  return seen.filter((event) => {
    const { id, type } = event;
    if (!isWanted(event) || type === 'rotation.failed' || ids.has(id)) return false;
    ids.add(id);
    return true;
  });
}
