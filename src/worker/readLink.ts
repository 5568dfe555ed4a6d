/**
 * Finds the group of a one-off that names it by a link which no record has. The instance of its queue is asked; the
 * others of this worker's file are asked too if the producer could not know the queue. If none finds a registered group,
 * the one-off is refused, and the reason names no other group.
 */
import { type FoundGroup, findGroup } from '../groups/jids.ts';
import { lookUpLink } from '../rotation/lookUp.ts';
import type { JobProgress, JobResult, OneOff } from '../rotation/types.ts';
import type { JobDependencies } from './readJob.ts';
import { reportResult } from './report.ts';

export interface LinkJob {
  readonly code: string;
  readonly work: OneOff;
  readonly past: JobProgress;
  /** Whose queue the job is on. */
  readonly instance: string;
  readonly anyInstance: boolean;
}

export async function findByLink(deps: JobDependencies, job: LinkJob): Promise<FoundGroup | JobResult> {
  const { code, work, past, instance, anyInstance } = job;
  const known = await deps.store.linkedRecord(code);
  if (known !== null) return await ofRecord(deps, known, job);
  // Nobody can ask in the name of an instance that has left the file.
  const asksOthers = anyInstance || deps.callerOf(instance) === null;
  const others = asksOthers ? deps.instances().filter((name) => name !== instance) : [];
  const failures: { readonly instance: string; readonly message: string }[] = [];
  let last: (JobResult & { readonly status: 'refused' })['failure'];
  for (const name of [instance, ...others]) {
    if (deps.callerOf(name) === null) continue;
    const asked = await lookUpLink(deps, { instance: name, code, identity: work.identity, past });
    switch (asked.status) {
      case 'found': {
        const found = await ofRecord(deps, asked.jid, job);
        if ('status' in found) return found;
        const { group } = found.entry;
        const about = { group, instance: found.entry.instance, work: 'verification' } as const;
        reportResult(deps, about, { status: 'verified', group, published: asked.published, unverified: 0 });
        return found;
      }
      case 'notFound':
        failures.push({ instance: name, message: asked.failure.message });
        last = asked.failure;
        continue;
      default:
        return asked;
    }
  }
  const causes = failures.map(({ instance, message }) => `${instance}: ${message}`).join('; ');
  const lookedUp = causes === '' ? 'no instance can look it up' : `a look-up finds no group by it (${causes})`;
  const message = `no group in the configuration file has or had this link, and ${lookedUp}`;
  const failure = { code: last?.code ?? 'invalid_request', message, httpStatus: last?.httpStatus ?? null } as const;
  return refuse(`${failure.code}: ${message}`, 'unknown', work, failure);
}

/** The group of a record that is known to have or to have had the link. */
async function ofRecord(
  { store }: JobDependencies,
  recordId: string,
  { code, work }: LinkJob,
): Promise<FoundGroup | JobResult> {
  const found = await findGroup(store, recordId);
  if (found !== null) return { ...found, code };
  const message = `the link is of a WhatsApp group that is not in the configuration file (${recordId})`;
  return refuse(message, recordId, work);
}

function refuse(
  message: string,
  name: string,
  work: OneOff,
  failure?: (JobResult & { readonly status: 'refused' })['failure'],
): JobResult {
  const oneOff = { name, work, recordId: null };
  return { status: 'refused', message, oneOff, ...(failure === undefined ? {} : { failure }) };
}
