/** The page of one group, with the history of its link. Contains no link, code or token. */
import { adviceFor } from '../ryze/policy.ts';
import { linkReasonText, outcomeText, relativeTime, remarksText, span, stateMeaning } from '../status/format.ts';
import type { GroupDetail, HistoryEntry } from '../status/group.ts';
import { type Html, html } from '../web/html.ts';
import { type Column, groupLink, prose, renderDocument, sentence, table, time } from './document.ts';
import { linkAge } from './page.ts';

/** `group`: null if there is none of this id, or if Redis cannot be read. `home`: the status page, relative to this one. */
export function renderGroupPage(id: string, group: GroupDetail | 'unknown' | 'unreadable', home: string): string {
  return renderDocument({
    title: `${id}: invite-rotator`,
    home: home === '' ? '?' : home,
    search: '',
    main: html`<h2><span class="id whole" tabindex="0">${id}</span></h2>
${typeof group === 'string' ? html`<p>${missing[group]}</p>` : content(group, home)}
<p><a href="${home === '' ? '?' : home}">All groups</a></p>`,
    footer:
      typeof group === 'string' ? html`` : html`<a href="${home === '' ? groupQuery(id) : '?'}format=json">JSON</a>`,
  });
}

const missing = {
  unknown: 'No group in the configuration file has this id.',
  unreadable: 'Redis cannot be read, so the state of this group is unknown.',
} as const;

function groupQuery(id: string): string {
  return `?group=${encodeURIComponent(id)}&`;
}

function content(group: GroupDetail, home: string): Html {
  const nowMs = Date.parse(group.at);
  return html`${trouble(group, nowMs, home)}
<dl>${facts(group, nowMs).map(([name, value]) => html`<dt data-key="${name}">${name}</dt><dd data-key="${name}">${value}</dd>`)}</dl>
<h2>History of its link</h2>
${
  group.history.length === 0
    ? html`<p>No link has been published yet.</p>`
    : table(
        { id: 'history', caption: 'History of its link', keyOf: ({ revision }) => String(revision) },
        columns,
        group.history,
      )
}
<p class="quiet">As of ${time(group.at)}. The links themselves: <code>invite-rotator links ${group.group}</code></p>`;
}

function trouble(group: GroupDetail, nowMs: number, home: string): Html {
  const { lastError, duplicateOf, nextAttemptAt } = group;
  const remarks = remarksText(group, nowMs);
  if (remarks === '') return html``;
  return html`<section id="attention" class="bad" aria-label="Remarks"><p>${sentence(remarks)}</p>
${lastError === null ? '' : html`<p>${sentence(adviceFor(lastError.code))}</p><p class="quiet">Failing since ${time(lastError.since)}${nextAttemptAt === null ? '' : html`, tried again ${relativeTime(Date.parse(nextAttemptAt) - nowMs)}`}.</p>`}
${duplicateOf === null ? '' : html`<p>${groupLink(duplicateOf, home)}</p>`}</section>`;
}

function facts(group: GroupDetail, nowMs: number): [string, Html][] {
  const { instance, jid, state, schedule, nextRotationAt, lastResetAt, verifiedAt, verifyEveryMs, queues } = group;
  const at = (iso: string | null, none: string) =>
    iso === null
      ? html`${none}`
      : html`${time(iso)} <span class="quiet">(${relativeTime(Date.parse(iso) - nowMs)})</span>`;
  return [
    ...(group.title === null ? [] : [['Title', html`${group.title}`] as [string, Html]]),
    ['State', html`<span class="${state}">${state}</span> <span class="quiet">· ${stateMeaning[state]}</span>`],
    ['Instance', html`<span class="id whole">${instance}</span>`],
    ['JID', jid === null ? html`not known yet` : html`<span class="id whole">${jid}</span>`],
    ['Schedule', html`${schedule}${group.enabled ? '' : ' (disabled: only one-offs rotate it)'}`],
    ['Next rotation', at(nextRotationAt, 'none')],
    ['Link age', linkAge(group)],
    ['Last outcome', html`${outcomeText(group)}`],
    ['Last reset by this program', at(lastResetAt, 'never')],
    [
      'Last verified',
      html`${at(verifiedAt, 'never')}${verifyEveryMs === null ? '; verification is off' : `, every ${span(verifyEveryMs)}`}`,
    ],
    ['Events go to', html`${queues.map((queue, i) => html`${i > 0 ? ', ' : ''}<span class="id">${queue}</span>`)}`],
  ];
}

const columns: readonly Column<HistoryEntry>[] = [
  { name: 'From', cell: ({ from }) => time(from), style: () => 'short' },
  { name: 'Until', cell: ({ until }) => (until === null ? 'now' : time(until)), style: () => 'short' },
  { name: 'How', cell: ({ reason }) => (reason === null ? 'not recorded' : linkReasonText(reason)) },
  { name: 'Who asked', cell: ({ requestedBy }) => prose(requestedBy ?? '-') },
  { name: 'Why', cell: ({ requestReason }) => prose(requestReason ?? '-') },
  { name: 'Revision', cell: ({ revision }) => String(revision), style: () => 'short' },
];
