/**
 * How long consumers hold dead links: from the moment at which the server replaced a link until the first results
 * queue's consumer has received that link or a newer one, whatever id the WhatsApp group had.
 */

import { flushAfter, type History, type SeenEvent, type SeenLink, type SeenRequest, type Trouble } from './history.ts';
import { releasedAgainMs } from './settings.ts';
import { groupBy, inAll, type Span } from './support.ts';

/**
 * `answered`: the call was answered. `lost answer`: it met a fault. `killed`: its process was killed or frozen before it
 * had stored the answer. `late effect`: the server replaced the link after the client had gone. `by hand`: a person did.
 */
export const causes = ['answered', 'lost answer', 'killed', 'late effect', 'by hand'] as const;
export type Cause = (typeof causes)[number];

export interface DeadLink {
  readonly jid: string;
  /** The link that consumers did not have. */
  readonly code: string;
  readonly from: number;
  readonly cause: Cause;
  /** Until when; where it is not over, until the history was taken. */
  readonly to: number;
  readonly over: boolean;
  /** Redis was unreachable or restarted meanwhile, or no worker was there. */
  readonly interrupted: boolean;
  /** What is left if that is taken out which the program cannot help, ms. */
  readonly ownMs: number;
}

export function deadLinks(history: History): DeadLink[] {
  const [received = []] = Object.values(history.events);
  const ofJid = groupBy(received, ({ jid }) => jid);
  const requests = groupBy(history.requests, ({ jid }) => jid);
  return Object.entries(history.links).flatMap(([jid, links]) => {
    const about = { history, jid, links, events: ofJid.get(jid) ?? [], requests: requests.get(jid) ?? [] };
    return links.flatMap((_, i) => (i === 0 ? [] : [deadLink(about, i)]));
  });
}

interface About {
  readonly history: History;
  readonly jid: string;
  readonly links: readonly SeenLink[];
  readonly events: readonly SeenEvent[];
  readonly requests: readonly SeenRequest[];
}

function deadLink(about: About, i: number): DeadLink {
  const { history, jid, links, events } = about;
  const { code, from } = links[i] as SeenLink;
  const flush = flushAfter(history, from - history.settleMs);
  const good = new Set(links.slice(i).map((link) => link.code));
  const event = events.find(({ type, inviteCode }) => type !== 'rotation.failed' && good.has(inviteCode ?? ''));
  const end = { at: event?.receivedAt ?? history.at, publishedAt: publishedAt(history, event) };
  const redis = spansOf(history, ['cut', 'restart', 'refuse']);
  const outages = [...redis, ...spansOf(history, ['nobody'])];
  const isDuring = (span: Span) => span.from < end.at && span.to > from;
  // A consumer whose Redis was restarted may get an event only after BullMQ has found its job stalled: what counts then
  // is when the program had published it.
  const to = Math.max(from, redis.some(isDuring) ? end.publishedAt : end.at);
  const span = { from, to };
  const forgotten = flush === undefined ? [] : [{ from: Math.max(from, flush.from), to: adoptedAgain(history, flush) }];
  const excused = [
    ...outages,
    ...forgotten,
    ...pauses(about),
    ...failedReads(about, span),
    ...wipes(about, span),
    ...namelessSpans(about),
  ];
  return {
    jid,
    code,
    from,
    cause: causeOf(about, i, to),
    to,
    over: event !== undefined,
    interrupted: outages.some(isDuring),
    ownMs: to - from - inAll(excused, span),
  };
}

function publishedAt({ added, at }: History, event: SeenEvent | undefined): number {
  if (event === undefined) return at;
  const [first = []] = Object.values(added);
  return Math.min(event.receivedAt, first.find(({ id }) => id === event.id)?.at ?? event.receivedAt);
}

/** An emptied Redis has forgotten what was reset: consumers get each link anew, as at first sight. */
const forgottenMs = 30_000;

/** The planner queues a read again whose job was wiped off meanwhile, later. */
function adoptedAgain({ troubles }: History, { to: from }: Trouble): number {
  const to = from + forgottenMs;
  const isWiped = troubles.some((trouble) => trouble.kind === 'wipe' && trouble.from <= to && trouble.to >= from);
  return isWiped ? to + releasedAgainMs : to;
}

/** The time in which the group's instance was paused because of a group that it refuses: once for each. */
function pauses({ history, jid }: About): Span[] {
  const instances = new Set((history.places[jid] ?? []).map(({ instance }) => instance));
  return history.pauses.filter(({ instance }) => instances.has(instance));
}

/** Workers look for a Redis that is back, and for what is unsettled, each second, and jobs go on after one more. */
const backMs = 2_000;

function spansOf({ troubles }: History, kinds: readonly Trouble['kind'][]): Span[] {
  return troubles.filter(({ kind }) => kinds.includes(kind)).map(({ from, to }) => ({ from, to: to + backMs }));
}

/** After a read that failed the next one is made after twice the time, from the first of these to the second. */
const readAgainMs = { first: 500, most: 15_000 };
/** And until the planner has noticed that, and the job has got a slot. */
const noticedMs = 5_000;
/** Of a read whose process has died. */
const readLeaseMs = 4_000;

/**
 * The time that is lost by reads which did not show the link although they were made: those that met a fault, and those
 * whose process was killed, frozen or cut off before it had stored the answer, which nobody repeats before their lease
 * is over. Each counts until the next call for this group, and no longer than it can explain.
 */
function failedReads({ requests, history }: About, { from, to }: Span): Span[] {
  const calls = requests.filter(({ begin }) => begin >= from - history.leaseMs && begin < to);
  let failed = 0;
  return calls.flatMap((call, i) => {
    if (call.endpoint !== 'info') return [];
    const end = call.end ?? history.at;
    const next = calls[i + 1]?.begin ?? to;
    const faulty = call.status !== 200 || isFault(call.fault);
    failed = faulty ? failed + 1 : 0;
    const died = someoneLeft(history, call.begin, end + 1_000);
    if (!faulty && !died) return [];
    const pauseMs = Math.min(readAgainMs.first * 2 ** (failed - 1), readAgainMs.most) + noticedMs;
    const mostMs = Math.max(faulty ? pauseMs : 0, died ? readLeaseMs + noticedMs : 0);
    return [{ from: call.begin, to: Math.min(next, end + mostMs) }];
  });
}

/** A read whose job was wiped off its queue is queued again after this time. */
const queuedAgainMs = 5_000;

/** The time that is lost by a read's job, if its queue was emptied: until the next call for this group. */
function wipes({ requests, history, jid }: About, { from, to }: Span): Span[] {
  const places = history.places[jid] ?? [];
  const queues = new Set(places.filter((place) => place.from <= to).map(({ instance }) => `rotations-${instance}`));
  return history.troubles
    .filter(({ kind, queue = '' }) => kind === 'wipe' && queues.has(queue))
    .filter((wiped) => wiped.from <= to && wiped.to >= from)
    .map((trouble) => {
      const next = requests.find(({ begin }) => begin > trouble.to)?.begin ?? to;
      return { from: trouble.from, to: Math.min(next, trouble.to + queuedAgainMs + noticedMs) };
    });
}

/** Until an id that comes back is registered, and its link read: a killed worker's file counts for as long as this. */
const registeredMs = 35_000;

/**
 * The time in which no id of the file was this WhatsApp group's, and another one had taken over its last id: there was no
 * name under which its link could be published.
 */
function namelessSpans({ history: { places, at }, jid }: About): Span[] {
  const own = places[jid] ?? [];
  return own.flatMap(({ from, group }, i) => {
    const last = own.slice(0, i).findLast((place) => place.group !== null)?.group;
    if (group !== null || last === undefined) return [];
    const taken = Object.entries(places).some(
      ([other, all]) => other !== jid && all.some((place) => place.group === last && place.from >= from),
    );
    return taken ? [{ from, to: (own[i + 1]?.from ?? at) + registeredMs }] : [];
  });
}

const absences: ReadonlySet<Trouble['kind']> = new Set(['kill', 'freeze', 'partition']);
/** Times are noted this much apart from what they are of. */
const clockMs = 50;
/** How much later than its request a process may still be at storing the answer. */
const storingMs = 250;
/** What is taken over only when a lease is over takes at least this long. */
const takenOverMs = 7_000;

function causeOf({ history, links, requests }: About, i: number, to: number): Cause {
  const { code, from, by } = links[i] as SeenLink;
  if (by !== 'us') return 'by hand';
  const request = requests.find(({ effect }) => effect?.code === code);
  if (request === undefined) return 'by hand';
  const { begin, end, status, fault } = request;
  // Whose request it was cannot be seen from outside, only that somebody was killed then, and that it took long.
  const met = someoneLeft(history, begin, (end ?? begin) + storingMs);
  const lost = isFault(fault);
  if (met && (status === null || to - from > 2_000) && (!lost || to - from > takenOverMs)) return 'killed';
  if (end !== null && end < from - 5) return 'late effect';
  return lost || status === null ? 'lost answer' : 'answered';
}

/** Whether the answer was not what it should be. */
function isFault(fault: string | null): boolean {
  return fault !== null && fault !== 'slow' && fault !== 'noHeaders';
}

/** Whether a worker was killed, frozen or cut off from Redis in that time. */
function someoneLeft({ troubles }: History, from: number, to: number): boolean {
  return troubles.some(({ kind, from: at }) => absences.has(kind) && at >= from - clockMs && at <= to);
}

/** What the machine may add by being busy. */
const slackMs = 5_000;
/** And where processes and connections come back at once, after an outage. */
const comingBackMs = 3_000;

/** Dead links of ours that lasted longer than a lease and the settle time. */
export function bounded(history: History): string[] {
  const boundMs = history.leaseMs + history.settleMs + slackMs;
  return deadLinks(history)
    .filter(({ cause, ownMs, interrupted }) => {
      return cause !== 'by hand' && ownMs > boundMs + (interrupted ? comingBackMs : 0);
    })
    .map(({ jid, code, cause, from, to, over, ownMs }) => {
      const until = over ? '' : ', and longer';
      return `${jid}: consumers did not have ${code} (${cause}, made at ${from}) for ${to - from} ms${until}; ${ownMs} ms are ours`;
    });
}

/** One line for each cause, and one for all those during which nobody could work. */
export function deadTimes(history: History): string[] {
  const all = deadLinks(history);
  const lines = causes.map((cause) =>
    lineOf(
      cause,
      all.filter((one) => one.cause === cause && !one.interrupted),
    ),
  );
  const interrupted = all.filter((one) => one.interrupted && one.cause !== 'by hand');
  return [...lines, lineOf('Redis or all workers away', interrupted)].filter((line) => line !== '');
}

function lineOf(name: string, dead: readonly DeadLink[]): string {
  if (dead.length === 0) return '';
  const times = dead.map(({ from, to }) => to - from).sort((a, b) => a - b);
  const at = (share: number) => Math.round(times[Math.ceil(share * times.length) - 1] ?? 0);
  const own = Math.round(Math.max(...dead.map(({ ownMs }) => ownMs)));
  const open = dead.filter(({ over }) => !over).length;
  const left = open === 0 ? '' : `, ${open} not over`;
  return `${name}: ${times.length}, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, worst ${at(1)} ms (of that ours ${own} ms)${left}`;
}
