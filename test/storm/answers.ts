/** Checks that every one-off ends with a link or with one failure event of its own. */
import { type History, isForgotten, type SeenRequestJob } from './history.ts';
import { groupBy } from './support.ts';

/** Tolerance for times that processes of one machine read at slightly different moments. */
const toleranceMs = 50;
/** An edit may be registered this much later, because the older file of another worker may delay it. */
const editMs = 45_000;
/** How long the workers may take to register all groups again after Redis was emptied. */
const registeredMs = 20_000;

export function answered(history: History): string[] {
  const failures = failuresOf(history);
  return history.jobs.flatMap((job) => [...failedTooOften(job, failures), ...ended(history, job, failures)]);
}

function ended(history: History, job: SeenRequestJob, failures: Failures): string[] {
  switch (job.state) {
    case 'completed':
      return completed(history, job);
    case 'failed':
      return failed(history, job, failures);
    default:
      return history.quiet && !isExcused(history, job) ? [`${job.requestId} is still ${job.state}`] : [];
  }
}

/** By queue and request: the ids of the events that report its failures. */
type Failures = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

function failuresOf({ events }: History): Failures {
  return new Map(
    Object.entries(events).map(([queue, seen]) => {
      const failures = groupBy(
        seen.filter(({ type }) => type === 'rotation.failed'),
        ({ request }) => request?.requestId ?? '',
      );
      return [queue, new Map([...failures].map(([of, events]) => [of, new Set(events.map(({ id }) => id))]))];
    }),
  );
}

/** A one-off that ends as failed is reported once, and once more for each time that it was retried. */
function failedTooOften({ requestId, state, retries }: SeenRequestJob, failures: Failures): string[] {
  const max = retries + (state === 'completed' ? 0 : 1);
  return [...failures].flatMap(([queue, all]) => {
    const count = all.get(requestId)?.size ?? 0;
    return count > max ? [`${queue}: ${count} failure events for ${requestId}, which is ${state}`] : [];
  });
}

/**
 * Whether an unfinished one-off is excused: Redis or its queue was emptied, or no file has the instance of its queue, so no
 * worker serves it.
 */
function isExcused(history: History, { state, queue, requestedAt }: SeenRequestJob): boolean {
  const { incidents, instances, at } = history;
  if (isForgotten(history, requestedAt, at)) return true;
  if (state !== 'unknown') return !instances.includes(queue.replace(/^rotations-/, ''));
  return incidents.some(
    (incident) => incident.kind === 'wipe' && incident.queue === queue && incident.to >= requestedAt,
  );
}

function completed(history: History, { requestId, requestedAt, result, ...job }: SeenRequestJob): string[] {
  if (result === null) return [`${requestId} completed with nothing`];
  const link = jidsOf(history, job.name)
    .flatMap((jid) => history.links[jid] ?? [])
    .find(({ code }) => code === result.inviteCode);
  if (link === undefined) return [`${requestId} was answered with a link that ${job.name} never had`];
  if (job.code !== undefined) {
    const isSame = link.code === job.code;
    return isSame ? [`${requestId} reports a leaked link and was answered with it (${result.status})`] : [];
  }
  // A link that a person made may be older: it was read back after a call without an answer.
  const isOlder = link.from < requestedAt - toleranceMs && link.by !== 'human';
  return isOlder ? [`${requestId} was answered with a link older than itself (${result.status})`] : [];
}

/** The failure reasons of a one-off whose group was removed, renamed, moved or given another id. */
const refusals = /^(unknown group|group ".*" belongs to instance|the link is of a WhatsApp group that is not in)/;
const duplicate = /^invalid_request: this is the same WhatsApp group as/;

function failed(history: History, job: SeenRequestJob, failures: Failures): string[] {
  const { requestId, failedReason } = job;
  const reason = failedReason ?? '';
  const isRefused = refusals.test(reason) || duplicate.test(reason);
  // In an emptied Redis, until the groups are registered again.
  const isUnknown = isForgotten(history, job.requestedAt - registeredMs, job.endedAt ?? history.at);
  if (isRefused && !isUnknown && !wasEdited(history, job))
    return [`${requestId} failed although its group was not edited: ${reason}`];
  if (!isRefused && !/^(?!internal)[a-z_]+: /.test(reason))
    return [`${requestId} failed without a code: ${failedReason}`];
  if (isForgotten(history, job.requestedAt, history.at)) return [];
  return [...failures].flatMap(([queue, all]) =>
    history.quiet && !all.has(requestId) ? [`${queue}: no event reports that ${requestId} failed`] : [],
  );
}

/** The WhatsApp groups that this name ever referred to. A one-off rotates the group that the name refers to when it runs. */
function jidsOf({ places }: History, name: string): string[] {
  if (places[name] !== undefined) return [name];
  return Object.entries(places).flatMap(([jid, all]) => (all.some(({ group }) => group === name) ? [jid] : []));
}

function wasEdited(history: History, { name, queue, requestedAt, endedAt }: SeenRequestJob): boolean {
  const until = endedAt ?? history.at;
  const all = jidsOf(history, name).map((jid) => ({ jid, places: history.places[jid] ?? [] }));
  const isInForce = all.some(({ jid, places }) => {
    const place = places.findLast(({ from }) => from <= requestedAt);
    return place?.group != null && [jid, place.group].includes(name) && `rotations-${place.instance}` === queue;
  });
  const wasMoved = all.some(({ places: [, ...edits] }) =>
    edits.some(({ from }) => from >= requestedAt - editMs && from <= until),
  );
  return wasMoved || !isInForce;
}
