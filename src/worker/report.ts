/** Reports how a job ended, to the log and the metrics. */
import type { RequestInfo } from '../contract/event.ts';
import type { GroupRecord } from '../groups/record.ts';
import { type Logger, redactCodes } from '../log.ts';
import type { Observer } from '../ops/observer.ts';
import type { JobResult, Work } from '../rotation/types.ts';

interface Reporting {
  readonly log: Logger;
  readonly observer: Observer;
}

interface JobSubject {
  readonly group: string;
  readonly instance: string;
  readonly work: Work['kind'];
  /** The one-off that is served. */
  readonly request?: RequestInfo | null;
}

/**
 * Who asked, and why. Producers write what they like, so invite codes are redacted: those of the group, and in the free
 * texts whatever looks like one. The log itself redacts links.
 */
export function requestFields(request: RequestInfo | null, record: GroupRecord | null): Partial<RequestInfo> {
  if (request === null) return {};
  const known = [record?.link?.code, record?.previous.code, ...(record?.replacedCodes ?? [])];
  const codes = known.filter((code): code is string => typeof code === 'string' && code.length >= 6);
  const { requestId, requestedBy, reason } = request;
  return {
    requestId: requestId && codes.reduce((left, code) => left.replaceAll(code, '[redacted]'), oneLine(requestId)),
    requestedBy: requestedBy && redactCodes(oneLine(requestedBy), codes),
    reason: reason && redactCodes(oneLine(reason), codes),
  };
}

/** Without control characters, which a terminal would obey. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

/** A link that could not be verified this many times in a row is worth a warning. */
const unverifiedWarning = 3;

/** One line for each result that an operator may want to know of. */
export function reportResult(
  { log, observer }: Reporting,
  { request = null, ...subject }: JobSubject,
  result: JobResult,
): void {
  const { group, instance } = subject;
  const about = { ...subject, ...requestFields(request, 'record' in result ? result.record : null) };
  switch (result.status) {
    // Reported when the link was read back.
    case 'recovered':
      return;
    case 'rotated':
    case 'satisfied': {
      const revision = result.record.revision;
      observer.rotation(instance, result.status);
      const text =
        result.replaced == null ? messages[result.status] : 'the link that the request names is replaced already';
      log.info({ event: `rotation.${result.status}`, ...about, revision }, `${group}: ${text}`);
      return;
    }
    case 'verified':
      reportRead({ log, observer }, { ...about, group: result.group }, result);
      return;
    case 'retry': {
      const { code, message, httpStatus } = result.failure;
      const again = { retryInMs: result.ms, code, httpStatus };
      log.warn({ event: 'rotation.retry', ...about, ...again }, `${group}: ${code}: ${message}`);
      return;
    }
    case 'gaveUp': {
      const { code, message, httpStatus } = result.failure;
      observer.rotation(instance, 'failed');
      log.error({ event: 'rotation.failed', ...about, code, httpStatus }, `${group}: ${code}: ${message}`);
      return;
    }
    case 'doubted':
      log.debug(
        { event: 'rotation.doubted', ...about, code: result.failure.code },
        `${group}: a call failed; checking again`,
      );
      return;
    case 'wait':
      log.debug({ event: 'rotation.waits', ...about, why: result.why, ms: result.ms }, `${group}: waits`);
      return;
    case 'obsolete':
    case 'refused':
      return;
  }
}

function reportRead(
  { log, observer }: Reporting,
  about: JobSubject,
  { published, unverified, failure }: JobResult & { status: 'verified' },
): void {
  const { group, instance } = about;
  if (unverified > 0) observer.unverified(instance);
  if (failure !== undefined) {
    const { code, message, httpStatus } = failure;
    log.warn(
      { event: 'link.unread', ...about, code, httpStatus },
      `${group}: its link could not be read, and is read again: ${code}: ${message}`,
    );
  }
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
export function reportRecovered(
  { log, observer }: Reporting,
  record: GroupRecord,
  work: Work['kind'],
  request: RequestInfo | null,
): void {
  if (record.entry === null) return;
  const { group, instance } = record.entry;
  const { revision } = record;
  observer.rotation(instance, 'recovered');
  log.info(
    { event: 'rotation.recovered', group, instance, work, ...requestFields(request, record), revision },
    `${group}: new link, read back after a call without an answer`,
  );
}

const messages = {
  rotated: 'new link',
  satisfied: 'answered by a reset that began after the request',
} as const;
