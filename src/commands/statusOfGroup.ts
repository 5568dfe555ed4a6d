/** Everything about one group, as lines of text. Contains no link or code: `links` and `history` print those. Pure. */
import { adviceFor } from '../ryze/policy.ts';
import {
  budgetText,
  instanceStateText,
  linkReasonText,
  plural,
  queueText,
  relativeTime,
  remarksText,
  serversText,
  span,
  stateMeaning,
} from '../status/format.ts';
import type { GroupDetail } from '../status/group.ts';
import type { QueuedOneOffs } from '../status/oneOffs.ts';
import type { InstanceStatus } from '../status/status.ts';
import { paintState } from './statusView.ts';
import { oneLine, padText, wrapText } from './textWidth.ts';

export interface GroupView extends GroupDetail {
  /** Null if this file does not have its instance. */
  readonly instanceStatus: InstanceStatus | null;
  readonly queued: QueuedOneOffs;
}

const labelWidth = 15;

/** `columns`: of the terminal. Null: as wide as it takes. */
export function renderGroup(group: GroupView, columns: number | null): string {
  const lines = rowsOf(group).flatMap(([label, text]) => {
    const width = columns === null ? Number.POSITIVE_INFINITY : Math.max(columns - labelWidth, 20);
    const wrapped = width === Number.POSITIVE_INFINITY ? [oneLine(text)] : wrapText(oneLine(text), width, '');
    return wrapped.map((part, i) => `${padText(i === 0 ? label : '', labelWidth)}${part}`);
  });
  return lines.join('\n').replace(group.state, paintState(group.state));
}

function rowsOf(group: GroupView): [string, string][] {
  const { state, stateSince, jid, title, instanceStatus, nextRotationAt, enabled, lastError } = group;
  const nowMs = Date.parse(group.at);
  const when = (iso: string) => `${iso.slice(0, 19)}Z (${relativeTime(Date.parse(iso) - nowMs)})`;
  const since = stateSince === null ? '' : `, since ${when(stateSince)}`;
  const remarks = remarksText(group, nowMs);
  const advice = lastError === null ? '' : adviceFor(lastError.code);
  const rows: [string, string | null][] = [
    ['group', group.group],
    ['title', title],
    // First, so that its colour is applied here.
    ['state', `${state}: ${stateMeaning[state]}${since}`],
    ['remarks', remarks === '' ? null : remarks],
    ['what to do', advice === '' ? null : advice],
    ['JID', jid ?? 'not known until the link has been read'],
    ['instance', instanceText(group.instance, instanceStatus)],
    ['schedule', enabled ? group.schedule : `${group.schedule} (disabled)`],
    ['link', linkText(group)],
    ['last reset', group.lastResetAt === null ? 'never by this program' : when(group.lastResetAt)],
    ['next rotation', nextRotationAt === null ? 'none is scheduled' : when(nextRotationAt)],
    ['last failure', lastError === null ? null : `${lastError.code} at ${when(lastError.at)}: ${lastError.message}`],
    ['next try', group.nextAttemptAt === null ? null : when(group.nextAttemptAt)],
    ['verified', verifiedText(group, when)],
    ['events go to', group.queues.join(', ')],
    ...oneOffRows(group.queued, when),
  ];
  return rows.flatMap(([label, text]): [string, string][] => (text === null ? [] : [[label, text]]));
}

function instanceText(name: string, status: InstanceStatus | null): string {
  if (status === null) return `${name} (not in this file)`;
  return `${name}, ${instanceStateText(status)}; ${budgetText(status)}; jobs: ${queueText(status)}; served by ${serversText(status)}`;
}

function linkText({ revision, linkBy, linkAgeMs }: GroupView): string {
  if (revision === null) return 'none has been published';
  const by = linkBy === null ? '' : `, ${linkReasonText(linkBy)}`;
  return `revision ${revision}${by}${linkAgeMs === null ? '' : `, ${span(linkAgeMs)} ago`}`;
}

function verifiedText({ verifyEveryMs, verifiedAt, unverified }: GroupView, when: (iso: string) => string): string {
  const last = verifiedAt === null ? 'never' : when(verifiedAt);
  const failed = unverified === 0 ? '' : `; ${plural(unverified, 'read')} in a row showed no link`;
  return `${last}${failed}; ${verifyEveryMs === null ? 'not checked periodically' : `every ${span(verifyEveryMs)}`}`;
}

function oneOffRows({ oneOffs, isCut }: QueuedOneOffs, when: (iso: string) => string): [string, string][] {
  const more = isCut ? ' among the first jobs of the queue' : '';
  if (oneOffs.length === 0) return [['one-offs', `none is queued${more}`]];
  return oneOffs.map(({ job, state, pushedAt, requestedBy, reason }, i) => [
    i === 0 ? 'one-offs' : '',
    [state, pushedAt === null ? '' : `pushed ${when(pushedAt)}`, requestedBy ?? '', reason ?? '', `job ${job}`]
      .filter(Boolean)
      .join(', '),
  ]);
}
