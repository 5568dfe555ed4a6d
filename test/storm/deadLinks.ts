/**
 * Measures how long consumers hold dead links: from the moment the server replaced a link until the consumer of the first
 * results queue received the new link or a later one, under whatever id the WhatsApp group had.
 */
import { flushAfter, type History, type Incident, type SeenEvent, type SeenLink, type SeenRequest } from './history.ts';
import { releasedAgainMs } from './settings.ts';
import { groupBy, inAll, type Span } from './support.ts';

/**
 * How the link came to be replaced. `answered`: the call was answered. `lost answer`: it met a fault. `killed`: its process
 * was killed or frozen before it stored the answer. `late effect`: the server replaced the link after the client had
 * disconnected. `by hand`: a person replaced it.
 */
export const causes = ['answered', 'lost answer', 'killed', 'late effect', 'by hand'] as const;
export type Cause = (typeof causes)[number];

export interface DeadLink {
  readonly jid: string;
  /** The code of the new link, which consumers did not have yet. */
  readonly code: string;
  readonly from: number;
  readonly cause: Cause;
  /** When consumers received it, or when the history was taken if they had not. */
  readonly to: number;
  readonly over: boolean;
  /** Whether Redis was unreachable or restarted, or no worker could run, during that time. */
  readonly interrupted: boolean;
  /** The time without the spans that the program could not avoid, ms. */
  readonly attributableMs: number;
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
  const outages = [...redis, ...spansOf(history, ['noWorker'])];
  const isDuring = (span: Span) => span.from < end.at && span.to > from;
  // After a restart of Redis a consumer may get an event only once BullMQ has detected a stalled job. In that case the
  // time of publication counts.
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
    attributableMs: to - from - inAll(excused, span),
  };
}

function publishedAt({ added, at }: History, event: SeenEvent | undefined): number {
  if (event === undefined) return at;
  const [first = []] = Object.values(added);
  return Math.min(event.receivedAt, first.find(({ id }) => id === event.id)?.at ?? event.receivedAt);
}

/** After Redis was emptied, consumers get each link again, as after a first read, within this time. */
const forgottenMs = 30_000;

/** When all links are adopted again. If a queue was emptied meanwhile, the planner queues the lost reads again later. */
function adoptedAgain({ incidents }: History, { to: from }: Incident): number {
  const to = from + forgottenMs;
  const isWiped = incidents.some((incident) => incident.kind === 'wipe' && incident.from <= to && incident.to >= from);
  return isWiped ? to + releasedAgainMs : to;
}

/**
 * Until an edit is registered and the link of an id that returns is read. The file of a killed worker stays in force for
 * that long.
 */
const registeredMs = 35_000;

/** Spans in which the group's instance was paused, or the one that it had before an edit. */
function pauses({ history, jid }: About): Span[] {
  const places = history.places[jid] ?? [];
  return places.flatMap(({ from, instance }, i) => {
    const to = (places[i + 1]?.from ?? history.at) + registeredMs;
    return history.pauses
      .filter((pause) => pause.instance === instance)
      .map((pause) => ({ from: Math.max(pause.from, from), to: Math.min(pause.to, to) }));
  });
}

/** Workers check once a second for a recovered Redis and for unsettled attempts. Jobs resume one second later. */
const recoveryMs = 2_000;

function spansOf({ incidents }: History, kinds: readonly Incident['kind'][]): Span[] {
  return incidents.filter(({ kind }) => kinds.includes(kind)).map(({ from, to }) => ({ from, to: to + recoveryMs }));
}

/** The back-off between failed reads doubles from `first` to `max`. */
const readBackOffMs = { first: 500, max: 15_000 };
/** The planner needs up to this long to release the next read, and its job to get a slot. */
const noticedMs = 5_000;
/** The lease of a read whose process died. */
const readLeaseMs = 4_000;

/**
 * Spans lost to reads that did not yield the link: those that met a fault, and those whose process was killed, frozen or
 * cut off before it stored the answer. No worker repeats the latter before their lease expires. Each span ends with the
 * next call for this group, and is no longer than its cause explains.
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
    const died = wasWorkerLost(history, call.begin, end + 1_000);
    if (!faulty && !died) return [];
    const pauseMs = Math.min(readBackOffMs.first * 2 ** (failed - 1), readBackOffMs.max) + noticedMs;
    const maxMs = Math.max(faulty ? pauseMs : 0, died ? readLeaseMs + noticedMs : 0);
    return [{ from: call.begin, to: Math.min(next, end + maxMs) }];
  });
}

/** When the job of a read is lost from its queue, the planner queues it again after this time. */
const queuedAgainMs = 5_000;

/** Spans from the emptying of a queue, which may have held the job of a read, to the next call for this group. */
function wipes({ requests, history, jid }: About, { from, to }: Span): Span[] {
  const places = history.places[jid] ?? [];
  const queues = new Set(places.filter((place) => place.from <= to).map(({ instance }) => `rotations-${instance}`));
  return history.incidents
    .filter(({ kind, queue = '' }) => kind === 'wipe' && queues.has(queue))
    .filter((wipe) => wipe.from <= to && wipe.to >= from)
    .map((incident) => {
      const next = requests.find(({ begin }) => begin > incident.to)?.begin ?? to;
      return { from: incident.from, to: Math.min(next, incident.to + queuedAgainMs + noticedMs) };
    });
}

/**
 * Spans in which the file had no id for this WhatsApp group and another group had its last id. There was no name under
 * which its link could be published.
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

const absences: ReadonlySet<Incident['kind']> = new Set(['kill', 'freeze', 'partition']);
/** Recorded times may be this much late. */
const clockMs = 50;
/** A process may still be storing the answer this long after its request ended. */
const storingMs = 250;
/** Another worker needs at least this long to take over, since it waits for a lease to expire. */
const takenOverMs = 7_000;

function causeOf({ history, links, requests }: About, i: number, to: number): Cause {
  const { code, from, by } = links[i] as SeenLink;
  if (by !== 'us') return 'by hand';
  const request = requests.find(({ effect }) => effect?.code === code);
  if (request === undefined) return 'by hand';
  const { begin, end, status, fault } = request;
  // Which worker sent the request is not visible from outside, only that one was killed then and that it took long.
  const met = wasWorkerLost(history, begin, (end ?? begin) + storingMs);
  const lost = isFault(fault);
  if (met && (status === null || to - from > 2_000) && (!lost || to - from > takenOverMs)) return 'killed';
  if (end !== null && end < from - 5) return 'late effect';
  return lost || status === null ? 'lost answer' : 'answered';
}

/** Whether the fault made the answer unusable. */
function isFault(fault: string | null): boolean {
  return fault !== null && fault !== 'slow' && fault !== 'noHeaders';
}

/** Whether a worker was killed, frozen or cut off from Redis in that span. */
function wasWorkerLost({ incidents }: History, from: number, to: number): boolean {
  return incidents.some(({ kind, from: at }) => absences.has(kind) && at >= from - clockMs && at <= to);
}

/** What a busy machine may add. */
const slackMs = 5_000;
/** What a machine may add while processes and connections recover after an outage. */
const restartMs = 3_000;

/** Links that we replaced and that consumers held for longer than a lease and the settle time. */
export function bounded(history: History): string[] {
  const boundMs = history.leaseMs + history.settleMs + slackMs;
  return deadLinks(history)
    .filter(({ cause, attributableMs, interrupted }) => {
      return cause !== 'by hand' && attributableMs > boundMs + (interrupted ? restartMs : 0);
    })
    .map(({ jid, code, cause, from, to, over, attributableMs }) => {
      const until = over ? '' : ' or longer';
      return `${jid}: consumers did not have ${code} (${cause}, made at ${from}) for ${to - from} ms${until}; ${attributableMs} ms of it attributable to the program`;
    });
}

/** One line for each cause, and one for all dead links during an outage of Redis or of all workers. */
export function deadTimes(history: History): string[] {
  const all = deadLinks(history);
  const lines = causes.map((cause) =>
    lineOf(
      cause,
      all.filter((one) => one.cause === cause && !one.interrupted),
    ),
  );
  const interrupted = all.filter((one) => one.interrupted && one.cause !== 'by hand');
  return [...lines, lineOf('Redis or all workers were down', interrupted)].filter((line) => line !== '');
}

function lineOf(name: string, dead: readonly DeadLink[]): string {
  if (dead.length === 0) return '';
  const times = dead.map(({ from, to }) => to - from).sort((a, b) => a - b);
  const at = (share: number) => Math.round(times[Math.ceil(share * times.length) - 1] ?? 0);
  const own = Math.round(Math.max(...dead.map(({ attributableMs }) => attributableMs)));
  const open = dead.filter(({ over }) => !over).length;
  const unfinished = open === 0 ? '' : `, ${open} not over`;
  return `${name}: ${times.length}, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms (at most ${own} ms attributable)${unfinished}`;
}
