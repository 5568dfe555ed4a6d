/** Whether every one-off ends as a link or a failure of its own. */
import { type History, isForgotten, type SeenRequestJob } from './history.ts';

/** One machine's clocks are read at slightly different moments. */
const toleranceMs = 50;
/** An edit may come to a worker, and be registered, this much later: another worker's file may hold it up. */
const editMs = 45_000;
const registeredMs = 20_000;

export function answered(history: History): string[] {
  return history.jobs.flatMap((job) => {
    switch (job.state) {
      case 'completed':
        return completed(history, job);
      case 'failed':
        return failed(history, job);
      default:
        return history.quiet && !isExcused(history, job) ? [`${job.requestId} is still ${job.state}`] : [];
    }
  });
}

/** Who empties a queue takes its one-offs with it; the queue of an instance that is in no file is served by nobody. */
function isExcused(history: History, { state, queue, askedAt }: SeenRequestJob): boolean {
  const { troubles, instances, at } = history;
  if (isForgotten(history, askedAt, at)) return true;
  if (state !== 'unknown') return !instances.includes(queue.replace(/^rotations-/, ''));
  return troubles.some((trouble) => trouble.kind === 'wipe' && trouble.queue === queue && trouble.to >= askedAt);
}

function completed(history: History, { requestId, askedAt, result, ...job }: SeenRequestJob): string[] {
  if (result === null) return [`${requestId} completed with nothing`];
  const link = jidsOf(history, job.name)
    .flatMap((jid) => history.links[jid] ?? [])
    .find(({ code }) => code === result.inviteCode);
  if (link === undefined) return [`${requestId} was answered with a link that ${job.name} never had`];
  // A person's link that was read back after a call without an answer may be older.
  const isOlder = link.from < askedAt - toleranceMs && link.by !== 'human';
  return isOlder ? [`${requestId} was answered with a link older than itself (${result.status})`] : [];
}

/** What a one-off is told whose group was removed, renamed, moved or given to another id. */
const refusals = /^(unknown group|group ".*" belongs to instance)/;
const duplicate = /^invalid_request: this is the same WhatsApp group as/;

function failed(history: History, job: SeenRequestJob): string[] {
  const { requestId, failedReason } = job;
  const reason = failedReason ?? '';
  const isRefused = refusals.test(reason) || duplicate.test(reason);
  // Until the groups are registered anew in an emptied Redis.
  const isUnknown = isForgotten(history, job.askedAt - registeredMs, job.endedAt ?? history.at);
  if (isRefused && !isUnknown && !wasEdited(history, job))
    return [`${requestId} failed although nobody edited its group: ${reason}`];
  if (!isRefused && !/^(?!internal)[a-z_]+: /.test(reason))
    return [`${requestId} failed without a code: ${failedReason}`];
  if (isForgotten(history, job.askedAt, history.at)) return [];
  return Object.entries(history.events).flatMap(([queue, seen]) =>
    history.quiet && !seen.some(({ type, request }) => type === 'rotation.failed' && request?.requestId === requestId)
      ? [`${queue}: no event tells that ${requestId} failed`]
      : [],
  );
}

/** The WhatsApp groups that this name ever meant: a one-off goes by what it means when it is worked on. */
function jidsOf({ places }: History, name: string): string[] {
  if (places[name] !== undefined) return [name];
  return Object.entries(places).flatMap(([jid, all]) => (all.some(({ group }) => group === name) ? [jid] : []));
}

function wasEdited(history: History, { name, queue, askedAt, endedAt }: SeenRequestJob): boolean {
  const until = endedAt ?? history.at;
  const all = jidsOf(history, name).map((jid) => ({ jid, places: history.places[jid] ?? [] }));
  const isInForce = all.some(({ jid, places }) => {
    const place = places.findLast(({ from }) => from <= askedAt);
    return place?.group != null && [jid, place.group].includes(name) && `rotations-${place.instance}` === queue;
  });
  const wasMoved = all.some(({ places: [, ...edits] }) =>
    edits.some(({ from }) => from >= askedAt - editMs && from <= until),
  );
  return wasMoved || !isInForce;
}
