/** What became of a job, for the log and the metrics. */
import type { GroupRecord } from '../groups/record.ts';
import type { Logger } from '../log.ts';
import type { Observer } from '../ops/observer.ts';
import type { Rotation } from '../rotation/rotate.ts';
import type { Work } from '../rotation/types.ts';

export interface ReportDependencies {
  readonly log: Logger;
  readonly observer: Observer;
}

/** A link that could not be verified this often in a row is worth a warning. */
const unverifiedWarning = 3;

/** One line for each outcome that somebody may want to know of. */
export function reportRotation(
  { log, observer }: ReportDependencies,
  about: { readonly group: string; readonly instance: string; readonly work: Work['kind'] },
  rotation: Rotation,
): void {
  const { group, instance } = about;
  switch (rotation.status) {
    // Told when the link was read back.
    case 'recovered':
      return;
    case 'rotated':
    case 'satisfied': {
      const revision = rotation.record.revision;
      observer.rotation(instance, rotation.status);
      log.info({ event: `rotation.${rotation.status}`, ...about, revision }, `${group}: ${said[rotation.status]}`);
      return;
    }
    case 'verified':
      reportRead({ log, observer }, { ...about, group: rotation.group }, rotation);
      return;
    case 'retry': {
      const { code, message, httpStatus } = rotation.failure;
      const again = { retryInMs: rotation.ms, code, httpStatus };
      log.warn({ event: 'rotation.retry', ...about, ...again }, `${group}: ${code}: ${message}`);
      return;
    }
    case 'gaveUp': {
      const { code, message, httpStatus } = rotation.failure;
      observer.rotation(instance, 'failed');
      log.error({ event: 'rotation.failed', ...about, code, httpStatus }, `${group}: ${code}: ${message}`);
      return;
    }
    case 'doubted':
      log.debug({ event: 'rotation.doubted', ...about, code: rotation.failure.code }, `${group}: failed; looks again`);
      return;
    case 'wait':
      log.debug({ event: 'rotation.waits', ...about, why: rotation.why, ms: rotation.ms }, `${group}: waits`);
      return;
    case 'obsolete':
    case 'unregistered':
      return;
  }
}

function reportRead(
  { log, observer }: ReportDependencies,
  about: { readonly group: string; readonly instance: string; readonly work: Work['kind'] },
  { published, unverified }: Rotation & { status: 'verified' },
): void {
  const { group, instance } = about;
  if (unverified > 0) observer.unverified(instance);
  if (unverified === unverifiedWarning) {
    log.warn(
      { event: 'link.unverified', ...about, times: unverified },
      `${group}: its link could not be verified ${unverified} times in a row: it may have been replaced unnoticed`,
    );
  }
  switch (published) {
    case 'drift':
      observer.drift(instance);
      log.warn({ event: 'link.changed', ...about }, `${group}: someone else changed the link`);
      return;
    case 'adopted':
      log.info({ event: 'link.adopted', ...about }, `${group}: its link is read and published`);
      return;
  }
}

/** A reset of ours was read back after its answer was lost. */
export function reportRecovered({ log, observer }: ReportDependencies, record: GroupRecord, work: Work['kind']): void {
  if (record.entry === null) return;
  const { group, instance } = record.entry;
  const { revision } = record;
  observer.rotation(instance, 'recovered');
  log.info(
    { event: 'rotation.recovered', group, instance, work, revision },
    `${group}: new link, read back after a call without an answer`,
  );
}

const said = {
  rotated: 'new link',
  satisfied: 'answered by a reset that began after the request',
} as const;
