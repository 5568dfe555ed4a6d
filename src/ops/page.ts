/**
 * The status page: problems first, then the number of groups in each state, the instances, and the groups, most urgent
 * first. Rendered on the server; works without scripts and loads nothing else. Everything from outside is escaped.
 */
import { createHash } from 'node:crypto';
import {
  budgetText,
  eventsText,
  instanceStateText,
  outcomeText,
  plannerText,
  problemsOf,
  queueText,
  relativeTime,
  remarksText,
  span,
} from '../status/format.ts';
import { type GroupState, type GroupStatus, groupStates, type InstanceStatus, type Status } from '../status/status.ts';
import { type Html, html, raw } from '../web/html.ts';
import { type Health, judge, type Readiness, type Reason } from './readiness.ts';

export interface View {
  /** Shows only groups whose id, instance or state contains this text, in any case. */
  readonly search: string;
  /** From 1. */
  readonly page: number;
}

const groupsPerPage = 100;
const refreshSeconds = 10;

/** Replaces the content only, so that a half-typed search and the scroll position survive a refresh. */
const script = `
const refresh = async () => {
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(${refreshSeconds * 1000}) });
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.querySelector('main').replaceWith(next.querySelector('main'));
    document.title = next.title;
    document.body.classList.remove('stale');
  } catch {
    document.title = 'No answer: invite-rotator';
    document.body.classList.add('stale');
  }
};
setInterval(refresh, ${refreshSeconds * 1000});
`;

/** The page's Content-Security-Policy: nothing from elsewhere, and no script but the one above. */
export const securityPolicy = [
  "default-src 'none'",
  `script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'`,
  "style-src 'unsafe-inline'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

const style = `
:root {
  color-scheme: light dark;
  --back: light-dark(#fff, #16181b); --text: light-dark(#1c1e21, #e4e6ea); --quiet: light-dark(#5f6570, #9aa1ac);
  --line: light-dark(#dcdfe4, #33373d); --bar: light-dark(#3b7dd8, #6ea3f0); --panel: light-dark(#f5f6f8, #1f2226);
  --good: light-dark(#1d7a3d, #6fcf8d); --warn: light-dark(#8f5f00, #f0b84a); --bad: light-dark(#b3261e, #ff8a80);
}
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
header { align-items: center; display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; justify-content: space-between; }
.quiet { color: var(--quiet); } .good, .fresh { color: var(--good); }
.warn, .overdue, .rotating, .unverified { color: var(--warn); } .bad, .failing, .duplicate, .unreadable_record, .uncertain { color: var(--bad); }
#attention { background: var(--panel); border-left: .3rem solid var(--good); border-radius: .3rem; margin: 1rem 0; padding: .6rem 1rem; }
#attention.bad { border-color: var(--bad); color: inherit; } #attention h2 { margin: 0 0 .2rem; } #attention ul { margin: 0; padding-left: 1.2rem; } #attention p { margin: 0; }
#stale { background: var(--bad); border-radius: .3rem; color: var(--back); display: none; padding: .6rem 1rem; } .stale #stale { display: block; }
.stale main { opacity: .5; }
#states { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; margin: 0; padding: 0; } #states b { font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; } th { color: var(--quiet); font-size: .85rem; font-weight: normal; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; } .short { white-space: nowrap; }
.bar { border: 1px solid var(--line); border-radius: .3rem; display: inline-block; height: .6rem; overflow: hidden; width: 5rem; }
.bar span { background: var(--bar); display: block; height: 100%; } .bar .over { background: var(--bad); }
input { background: var(--back); border: 1px solid var(--line); border-radius: .3rem; box-sizing: border-box; color: inherit; font: inherit; max-width: 100%; padding: .35rem .7rem; width: 18rem; }
a { color: var(--bar); }
@media (max-width: 45rem) {
  tr:has(th) { display: none; } tr { border-bottom: 1px solid var(--line); display: block; padding: .5rem 0; }
  td { border: 0; display: grid; gap: .5rem; grid-template-columns: 7rem minmax(0, 1fr); padding: .1rem 0; }
  td::before { color: var(--quiet); content: attr(data-of); font-size: .85rem; } td:empty { display: none; }
}
`;

const ago = (ms: number | null) => (ms === null ? 'never' : `${span(ms)} ago`);

const notReady: Readonly<Record<Reason, (health: Health) => string>> = {
  stopping: () => 'this worker is stopping',
  redis: ({ redisWriteAgeMs, redisTrouble }) =>
    `the last write to Redis succeeded ${ago(redisWriteAgeMs)}${redisTrouble === null ? '' : ` (${redisTrouble})`}; check that Redis is reachable, writable and not full`,
  ticks: ({ tickAgeMs }) =>
    `the planner last ran ${ago(tickAgeMs)}, so scheduled rotations wait; if its queue is not paused, restart a worker`,
  jobs: ({ stuck }) => `jobs of ${stuck.join(', ')} have been waiting for over a minute; restart this worker`,
};

/** `status`: null if Redis cannot be read. */
export function renderPage(status: Status | null, health: Health, view: View): string {
  const readiness = judge(health);
  const problems = [...readinessProblems(health, readiness), ...(status === null ? [] : problemsOf(status))];
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<noscript><meta http-equiv="refresh" content="${refreshSeconds}"></noscript>
<title>${titleOf(problems.length, readiness)}</title>
<style>${raw(style)}</style>
</head>
<body>
<header>
<h1>invite-rotator</h1>
<form role="search"><input name="q" type="search" aria-label="Search groups" placeholder="Search: group, instance, state" value="${view.search}"></form>
</header>
<p id="stale" role="alert">This page is out of date: the worker that serves it does not answer. Check that the worker is running.</p>
<main>
<section id="attention" class="${problems.length === 0 ? '' : 'bad'}">${
    problems.length === 0
      ? html`<p class="good">Nothing needs attention.</p>`
      : html`<h2>Needs attention</h2><ul>${problems.map((problem) => html`<li>${problem}</li>`)}</ul>`
  }</section>
${status === null ? html`<p>Redis cannot be read, so the state of groups and instances is unknown.</p>` : content(status, view)}
</main>
<footer class="quiet"><a href="api/status">JSON</a> <a href="metrics">metrics</a> <a href="readyz">readiness</a></footer>
<script>${raw(script)}</script>
</body>
</html>
`.text;
}

function titleOf(problems: number, { ready }: Readiness): string {
  if (!ready) return 'Not ready: invite-rotator';
  return problems === 0 ? 'invite-rotator' : `(${problems}) invite-rotator`;
}

function readinessProblems(health: Health, { reasons, details }: Readiness): string[] {
  const problems = reasons.map((reason) => `Not ready (${reason}): ${notReady[reason](health)}`);
  if (!details.includes('config_broken')) return problems;
  return [
    ...problems,
    'The edited configuration file is invalid (config_broken), and the last valid one stays in force: `invite-rotator check` lists the mistakes',
  ];
}

function content(status: Status, view: View): Html {
  const { groups, instances } = status;
  const nowMs = Date.parse(status.at);
  const wanted = view.search.toLowerCase();
  const matches = groups.filter((group) =>
    [group.group, group.instance, group.state].some((text) => text.toLowerCase().includes(wanted)),
  );
  const pages = Math.max(Math.ceil(matches.length / groupsPerPage), 1);
  const page = Math.min(Math.max(Math.floor(view.page), 1), pages);
  const shown = matches.slice((page - 1) * groupsPerPage, page * groupsPerPage);
  return html`<ul id="states">${groupStates.map((state) => stateCount(state, groups))}</ul>
<p class="quiet">At ${status.at}. ${plannerText(status.lastTickAgeMs)}
${Object.entries(status.resultsByState).map(([queue, counts]) => html`${eventsText(queue, counts)} `)}</p>
<h2>Instances</h2>
<table id="instances">
<tr><th>Instance<th>Rate limit<th>Queue<th>State</tr>
${instances.map(instanceRow)}</table>
<h2>Groups</h2>
<table id="groups">
<tr><th>Group<th>Instance<th>State<th>Link age<th>Next rotation<th>Last outcome<th>Remarks</tr>
${shown.map((group) => groupRow(group, nowMs))}</table>
<p id="found" class="quiet">${matches.length} of ${groups.length} groups${pages > 1 ? `, page ${page} of ${pages}` : ''} ${pageLinks(view.search, page, pages)}</p>`;
}

function stateCount(state: GroupState, groups: readonly GroupStatus[]): Html {
  const count = groups.filter((group) => group.state === state).length;
  return count === 0 ? html`` : html`<li class="${state}"><b>${count}</b> ${state}</li>`;
}

function instanceRow(instance: InstanceStatus): Html {
  const { budget, gate } = instance;
  const share = budget === null ? html`` : bar(budget.used / budget.limit, 'of the limit');
  return html`<tr><td data-of="Instance">${instance.instance}<td data-of="Rate limit"><div>${share} ${budgetText(instance)}</div><td data-of="Queue">${queueText(instance)}<td data-of="State" class="${gate === null ? 'good' : 'bad'}">${instanceStateText(instance)}</tr>
`;
}

function groupRow(group: GroupStatus, nowMs: number): Html {
  const { state, linkAgeMs, periodMs, nextRotationAt } = group;
  const share = linkAgeMs === null || periodMs === null ? html`` : bar(linkAgeMs / periodMs, 'of its period');
  const age = linkAgeMs === null ? html`-` : html`<div>${share} ${span(linkAgeMs)}</div>`;
  const next = nextRotationAt === null ? '-' : relativeTime(Date.parse(nextRotationAt) - nowMs);
  return html`<tr><td data-of="Group">${group.group}<td data-of="Instance">${group.instance}<td data-of="State" class="short ${state}">${state}<td data-of="Link age" class="short">${age}<td data-of="Next rotation" class="short" title="${nextRotationAt ?? ''}">${next}<td data-of="Last outcome">${outcomeText(group)}<td data-of="Remarks">${remarksText(group, nowMs)}</tr>
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
