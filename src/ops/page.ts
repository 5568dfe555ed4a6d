/**
 * The status page: rendered here, light and dark, fit for a phone. First what needs a person, then how many groups are
 * in which state, the instances, and the groups, worst first. Everything that came from outside is escaped.
 */

import {
  adviceText,
  budgetText,
  consumerTroubles,
  eventsText,
  gateText,
  outcomeText,
  pausedText,
  queueText,
  relativeTime,
  remarksText,
  span,
} from '../status/format.ts';
import { type GroupState, type GroupStatus, groupStates, type InstanceStatus, type Status } from '../status/status.ts';
import { type Html, html, raw } from './html.ts';
import { refreshSeconds, script, style } from './pageAssets.ts';
import type { Readiness } from './readiness.ts';

export interface View {
  /** Shows groups whose id, instance or state holds this, in capitals or not. */
  readonly search: string;
  /** From 1. */
  readonly page: number;
}

const groupsPerPage = 100;
/** Groups named above all else; the rest is counted. */
const namedAtMost = 20;
/** A group in one of these states is somebody's business. */
const needPerson: readonly GroupState[] = ['unreadable_record', 'duplicate', 'failing'];

/** `status`: null while Redis cannot be read. */
export function renderPage(status: Status | null, readiness: Readiness, view: View): string {
  const wanted = wants(status, readiness);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<noscript><meta http-equiv="refresh" content="${refreshSeconds}"></noscript>
<title>${titleOf(wanted.length, readiness)}</title>
<style>${raw(style)}</style>
</head>
<body>
<header>
<h1>invite-rotator</h1>
<form role="search"><input name="q" type="search" aria-label="Search groups" placeholder="Search: group, instance, state" value="${view.search}"></form>
</header>
<p id="stale" role="alert">This page cannot be refreshed: the worker that serves it does not answer. What follows is old.</p>
<main>
<section id="attention" class="${wanted.length === 0 ? '' : 'bad'}">${
    wanted.length === 0 ? html`<p class="good">Nothing needs you.</p>` : html`<ul>${wanted}</ul>`
  }</section>
${status === null ? html`<p>Redis cannot be read now: nothing is known of groups and instances.</p>` : content(status, view)}
</main>
<footer class="quiet"><a href="api/status">JSON</a> <a href="metrics">metrics</a> <a href="readyz">readiness</a></footer>
<script>${raw(script)}</script>
</body>
</html>
`.text;
}

function titleOf(wanted: number, { ready }: Readiness): string {
  if (!ready) return 'Not ready: invite-rotator';
  return wanted === 0 ? 'invite-rotator' : `(${wanted}) invite-rotator`;
}

/** What needs a person, one line each. */
function wants(status: Status | null, { reasons, details, redis }: Readiness): Html[] {
  const lines: Html[] = [];
  for (const reason of reasons) {
    const why = reason === 'redis' && redis !== undefined ? ` (${redis})` : '';
    lines.push(html`<li>Not ready: ${reason}${why}</li>`);
  }
  if (details.includes('config_broken'))
    lines.push(html`<li>The edited configuration is broken (config_broken): the last good one is in force</li>`);
  if (status === null) return lines;
  for (const queue of status.paused) lines.push(html`<li>${pausedText(queue)}</li>`);
  for (const { instance, gate } of status.instances) {
    if (gate !== null) lines.push(html`<li>${instance} is paused (${gate.reason})${adviceText(gate.reason)}</li>`);
  }
  const failing = status.groups.filter(({ state }) => needPerson.includes(state));
  for (const group of failing.slice(0, namedAtMost)) {
    const { code = group.state } = group.lastError ?? {};
    lines.push(html`<li>${group.group} is ${group.state} (${code})${adviceText(code)}</li>`);
  }
  if (failing.length > namedAtMost) lines.push(html`<li>and ${failing.length - namedAtMost} more groups</li>`);
  for (const [queue, events] of Object.entries(status.outbox)) {
    if (events > 0) lines.push(html`<li>${events} events wait to be published to ${queue}</li>`);
  }
  for (const [queue, counts] of Object.entries(status.resultsByState)) {
    for (const trouble of consumerTroubles(queue, counts)) lines.push(html`<li>${trouble}</li>`);
  }
  return lines;
}

function content(status: Status, view: View): Html {
  const { groups, instances } = status;
  const nowMs = Date.parse(status.at);
  const wanted = view.search.toLowerCase();
  const found = groups.filter((group) =>
    [group.group, group.instance, group.state].some((text) => text.toLowerCase().includes(wanted)),
  );
  const pages = Math.max(Math.ceil(found.length / groupsPerPage), 1);
  const page = Math.min(Math.max(Math.floor(view.page), 1), pages);
  const shown = found.slice((page - 1) * groupsPerPage, page * groupsPerPage);
  return html`<ul id="states">${groupStates.map((state) => stateCount(state, groups))}</ul>
<p class="quiet">At ${status.at}. The planner last ran ${status.lastTickAgeMs === null ? 'never' : `${span(status.lastTickAgeMs)} ago`}.
${Object.entries(status.resultsByState).map(([queue, counts]) => html`${eventsText(queue, counts)} `)}</p>
<h2>Instances</h2>
<table id="instances">
<tr><th>Instance<th>Budget<th>Queue<th>Gate</tr>
${instances.map(instanceRow)}</table>
<h2>Groups</h2>
<table id="groups">
<tr><th>Group<th>Instance<th>State<th>Link age<th>Next rotation<th>Last outcome<th>Last error</tr>
${shown.map((group) => groupRow(group, nowMs))}</table>
<p id="found" class="quiet">${found.length} of ${groups.length} groups${pages > 1 ? `, page ${page} of ${pages}` : ''} ${pageLinks(view.search, page, pages)}</p>`;
}

function stateCount(state: GroupState, groups: readonly GroupStatus[]): Html {
  const count = groups.filter((group) => group.state === state).length;
  return count === 0 ? html`` : html`<li class="${state}"><b>${count}</b> ${state}</li>`;
}

function instanceRow(instance: InstanceStatus): Html {
  const { budget, gate } = instance;
  const share = budget === null ? html`` : bar(budget.used / budget.limit, 'of the limit');
  return html`<tr><td data-of="Instance">${instance.instance}<td data-of="Budget"><div>${share} ${budgetText(instance)}</div><td data-of="Queue">${queueText(instance)}<td data-of="Gate" class="${gate === null ? 'good' : 'bad'}">${gateText(instance)}</tr>
`;
}

function groupRow(group: GroupStatus, nowMs: number): Html {
  const { state, linkAgeMs, periodMs, nextRotationAt } = group;
  const share = linkAgeMs === null || periodMs === null ? html`` : bar(linkAgeMs / periodMs, 'of its period');
  const age = linkAgeMs === null ? html`-` : html`<div>${share} ${span(linkAgeMs)}</div>`;
  const next = nextRotationAt === null ? '-' : relativeTime(Date.parse(nextRotationAt) - nowMs);
  return html`<tr><td data-of="Group">${group.group}<td data-of="Instance">${group.instance}<td data-of="State" class="short ${state}">${state}<td data-of="Link age" class="short">${age}<td data-of="Next rotation" class="short" title="${nextRotationAt ?? ''}">${next}<td data-of="Last outcome">${outcomeText(group)}<td data-of="Last error">${remarksText(group)}</tr>
`;
}

function bar(share: number, what: string): Html {
  const percent = Math.round(share * 100);
  const width = Math.min(Math.max(percent, 0), 100);
  return html`<span class="bar" role="img" aria-label="${percent} % ${what}" title="${percent} % ${what}"><span class="${share > 1 ? 'over' : ''}" style="width:${width}%"></span></span>`;
}

function pageLinks(search: string, page: number, pages: number): Html[] {
  const link = (to: number, text: string) =>
    html`<a href="?${new URLSearchParams({ q: search, page: String(to) }).toString()}">${text}</a> `;
  return [...(page > 1 ? [link(page - 1, 'previous')] : []), ...(page < pages ? [link(page + 1, 'next')] : [])];
}
