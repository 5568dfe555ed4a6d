/**
 * The status page: what needs attention, by cause; the number of groups in each state; the instances and the workers; and
 * the groups, most urgent first. Rendered on the server; works without scripts and loads nothing else. Everything from
 * outside is escaped.
 */

import { type GroupState, groupStates } from '../groups/states.ts';
import { type Cause, causesOf } from '../status/attention.ts';
import {
  budgetText,
  eventsText,
  instanceStateText,
  outcomeText,
  plannerText,
  plural,
  queueText,
  relativeTime,
  remarksText,
  serversText,
  span,
} from '../status/format.ts';
import type { GroupStatus } from '../status/groupStatus.ts';
import type { View } from '../status/list.ts';
import type { InstanceStatus, Status, WorkerStatus } from '../status/status.ts';
import { type Html, html } from '../web/html.ts';
import {
  bar,
  type Column,
  groupLink,
  idText,
  prose,
  renderDocument,
  sentence,
  table,
  time,
  timeAs,
} from './document.ts';
import { type Health, judge, type Readiness, type Reason } from './readiness.ts';
import { filteredView, hrefOf } from './view.ts';

/** Groups named for one cause; the others are behind a link. */
const groupsPerCause = 8;

const ago = (ms: number | null) => (ms === null ? 'never' : `${span(ms)} ago`);

const notReady: Readonly<Record<Reason, (health: Health) => string>> = {
  stopping: () => 'this worker is stopping',
  redis: ({ redisWriteAgeMs, redisTrouble }) =>
    `the last write to Redis succeeded ${ago(redisWriteAgeMs)}${redisTrouble === null ? '' : ` (${redisTrouble})`}; check that Redis is reachable, writable and not full`,
  ticks: ({ tickAgeMs }) =>
    `the planner last ran ${ago(tickAgeMs)}, so scheduled rotations wait; if its queue is not paused, restart a worker`,
  jobs: ({ stuck }) => `jobs of ${stuck.join(', ')} have been waiting for over a minute; restart this worker`,
};

const footer = html`<a href="?format=json">JSON</a> <a href="?format=metrics">metrics</a> <a href="?format=readiness">readiness</a>`;

/** `status`: null if Redis cannot be read. */
export function renderPage(status: Status | null, health: Health, view: View): string {
  const readiness = judge(health);
  const causes = [...readinessCauses(health, readiness), ...(status === null ? [] : causesOf(status))];
  return renderDocument({
    title: titleOf(causes.length, readiness),
    home: '?',
    search: isLink(view.search) ? '' : view.search,
    isList: true,
    kept: { state: view.state, instance: view.instance },
    main: html`${attention(causes, status?.at ?? null)}
${status === null ? html`<p>Redis cannot be read, so the state of groups and instances is unknown.</p>` : content(status, view)}`,
    footer,
  });
}

function titleOf(problems: number, { ready }: Readiness): string {
  if (!ready) return 'Not ready: invite-rotator';
  return problems === 0 ? 'invite-rotator' : `(${problems}) invite-rotator`;
}

function readinessCauses(health: Health, { reasons, details }: Readiness): Cause[] {
  const cause = (key: string, text: string, advice: string): Cause => ({
    ...{ key, text, advice, since: null, waiting: null, groups: [], count: 0, filter: null },
  });
  const causes = reasons.map((reason) => cause(reason, `Not ready (${reason})`, notReady[reason](health)));
  if (!details.includes('config_broken')) return causes;
  const text = 'The edited configuration file is invalid (config_broken)';
  return [
    ...causes,
    cause('config_broken', text, 'the last valid one stays in force; `invite-rotator check` lists the mistakes'),
  ];
}

/**
 * The hidden summary is what a screen reader announces. It has no durations, so it changes only when something begins or
 * ends to need attention.
 */
function attention(causes: readonly Cause[], at: string | null): Html {
  const summary =
    causes.length === 0 ? 'Nothing needs attention.' : `Needs attention: ${causes.map(({ text }) => text).join('; ')}.`;
  return html`<p id="summary" class="hidden" role="status">${summary}</p>
<section id="attention" class="${causes.length === 0 ? '' : 'bad'}" aria-label="Needs attention">${
    causes.length === 0
      ? html`<p class="good">Nothing needs attention.</p>`
      : html`<h2>Needs attention</h2><ul>${causes.map((cause) => causeItem(cause, at))}</ul>`
  }</section>`;
}

function causeItem({ key, text, advice, since, waiting, groups, count, filter }: Cause, at: string | null): Html {
  const lasts = since === null || at === null ? null : span(Math.max(Date.parse(at) - Date.parse(since), 0));
  const facts = [
    ...(since === null ? [] : [html`Since ${time(since)}${lasts === null ? '' : ` (${lasts})`}`]),
    ...(waiting === null ? [] : [html`${waiting}`]),
  ];
  const shown = groups.slice(0, groupsPerCause);
  const rest = count - shown.length;
  const all =
    filter === null || count === 1
      ? html``
      : html`<a data-view href="${hrefOf(filteredView(filter))}">${rest > 0 ? `and ${rest} more` : filter.instance === undefined ? 'show in the list' : 'show its groups'}</a>`;
  return html`<li id="cause-${key}"><div class="head"><b>${prose(text)}</b>
${facts.length === 0 ? '' : html`<span class="quiet">${facts.map((fact, i) => html`${i > 0 ? ' · ' : ''}${fact}`)}</span>`}</div>
<div>${sentence(advice)}</div>
<div class="groups">${shown.map(({ group, note }) => html`<span data-key="${group}">${groupLink(group)}${note === '' ? '' : html` <span class="quiet">(${prose(note)})</span>`}</span>`)}${all}</div></li>`;
}

function content(status: Status, view: View): Html {
  const { groups, instances, workers, totals } = status;
  const { number, pages } = status.page;
  const nowMs = Date.parse(status.at);
  // Addresses on the page repeat no link either.
  const repeated = isLink(view.search) ? { ...view, search: '' } : view;
  return html`<ul id="states" aria-label="Groups by state">${groupStates.map((state) => stateCount(state, totals.states[state], repeated))}</ul>
<p class="quiet">As of ${time(status.at)}. ${plannerText(status.lastTickAgeMs)}
${Object.entries(status.resultsByState).map(([queue, counts]) => html`${prose(eventsText(queue, counts))} `)}</p>
<h2>Instances</h2>
${table({ id: 'instances', caption: 'Instances', keyOf: ({ instance }) => instance }, instanceColumns, instances)}
<h2 id="list">Groups</h2>
<p><span id="found" role="status">${foundText(status)}</span>${filterText(view)}</p>
${table({ id: 'groups', caption: 'Groups', keyOf: ({ group }) => group }, groupColumns(nowMs), groups)}
<nav id="pages" aria-label="Pages of the list">${pageLinks(repeated, number, pages)}</nav>
<h2>Workers</h2>
${workersSection(workers, nowMs)}`;
}

function foundText({ totals, page: { number, pages, found, isCut } }: Status): string {
  const counted = totals.complete ? '' : ' (still counting)';
  const more = isCut ? ' at first; more match' : '';
  return `${found} of ${totals.groups} groups${counted}${more}${pages > 1 ? `, page ${number} of ${pages}` : ''}`;
}

function stateCount(state: GroupState, count: number, view: View): Html {
  if (count === 0) return html``;
  const isCurrent = view.state === state;
  const href = hrefOf({ ...view, state: isCurrent ? null : state, page: 1 });
  return html`<li class="${state}" data-key="${state}"><a data-view href="${href}"${isCurrent ? html` aria-current="true"` : ''}><b>${count}</b> ${state}</a></li>`;
}

function filterText(view: View): Html {
  const parts = [
    ...(view.state ? [html`state ${view.state}`] : []),
    ...(view.instance ? [html`instance ${idText(view.instance)}`] : []),
    ...(view.search.trim() === '' ? [] : [html`search${isLink(view.search) ? '' : ` “${view.search}”`}`]),
  ];
  if (parts.length === 0) return html``;
  const hint = isLink(view.search)
    ? html`<br>Links are not searched here, because no page shows one. <code>invite-rotator history LINK</code> says which group has or had it.`
    : '';
  return html` <span class="quiet">· ${parts.map((part, i) => html`${i > 0 ? ', ' : ''}${part}`)}</span> <a data-view href="?">show all</a>${hint}`;
}

/** Somebody looks for the group of a link or code. */
function isLink(search: string): boolean {
  return /chat\.whatsapp\.com/i.test(search) || /^(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9]{22}$/.test(search.trim());
}

const instanceColumns: readonly Column<InstanceStatus>[] = [
  {
    name: 'Instance',
    cell: ({ instance }) =>
      html`<a class="id" title="${instance}" data-view href="${hrefOf(filteredView({ instance }))}">${instance}</a>`,
  },
  {
    name: 'Rate limit',
    cell(instance) {
      const { budget } = instance;
      const share = budget === null ? html`` : html`${bar(budget.used / budget.limit, 'of the limit')} `;
      return html`${share}${budgetText(instance)}`;
    },
  },
  { name: 'Queue', cell: queueText, style: () => 'short' },
  {
    name: 'State',
    cell: (one) => prose(instanceStateText(one)),
    style: ({ gate }) => (gate === null ? 'good' : 'bad'),
  },
  { name: 'Served by', cell: (one) => prose(serversText(one)) },
];

function groupColumns(nowMs: number): readonly Column<GroupStatus>[] {
  return [
    {
      name: 'Group',
      cell: ({ group, title }) =>
        html`${groupLink(group)}${title === null ? '' : html` <div class="quiet">${prose(title)}</div>`}`,
    },
    { name: 'Instance', cell: ({ instance }) => idText(instance) },
    { name: 'State', cell: ({ state }) => state, style: ({ state }) => `short ${state}` },
    { name: 'Link age', cell: linkAge, style: () => 'short' },
    {
      name: 'Next rotation',
      cell: ({ nextRotationAt: at }) => (at === null ? '-' : timeAs(at, relativeTime(Date.parse(at) - nowMs))),
      style: () => 'short',
    },
    { name: 'Last outcome', cell: outcomeText, style: () => 'outcome' },
    { name: 'Remarks', cell: (group) => prose(remarksText(group, nowMs)) },
  ];
}

export function linkAge({ linkAgeMs, periodMs }: Pick<GroupStatus, 'linkAgeMs' | 'periodMs'>): Html {
  if (linkAgeMs === null) return html`-`;
  return html`${periodMs === null ? '' : html`${bar(linkAgeMs / periodMs, 'of its period')} `}${span(linkAgeMs)}`;
}

function pageLinks(view: View, page: number, pages: number): Html[] {
  const link = (to: number, text: string) => html`<a data-view href="${hrefOf({ ...view, page: to })}">${text}</a> `;
  return [...(page > 1 ? [link(page - 1, 'previous')] : []), ...(page < pages ? [link(page + 1, 'next')] : [])];
}

function workersSection(workers: readonly WorkerStatus[], nowMs: number): Html {
  if (workers.length === 0) return html`<p>No worker has announced itself in the last 20 seconds.</p>`;
  const differ = workers.some(({ config }) => config.hash !== workers[0]?.config.hash);
  const columns: readonly Column<WorkerStatus>[] = [
    { name: 'Worker', cell: ({ host, pid }) => html`${idText(host)} (process ${pid})` },
    { name: 'Version', cell: ({ version }) => version, style: () => 'short' },
    {
      name: 'Serves',
      cell: ({ serves }) => (serves === null ? '-' : plural(serves, 'instance')),
      style: () => 'short',
    },
    { name: 'Runs for', cell: ({ startedAt: at }) => timeAs(at, span(Math.max(nowMs - Date.parse(at), 0))) },
    {
      name: 'Configuration',
      cell: ({ config }) =>
        html`<code class="id">${config.hash}</code> in force since ${time(config.since)}${differ ? '; another worker has a different file' : ''}`,
      style: () => (differ ? 'warn' : ''),
    },
  ];
  return table({ id: 'workers', caption: 'Workers', keyOf: ({ host, pid }) => `${host} ${pid}` }, columns, workers);
}
