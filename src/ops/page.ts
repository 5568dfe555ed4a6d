/**
 * The status page: rendered here, no script, light and dark, fit for a phone. First what needs a person, then the
 * instances, then the groups. Everything that came from outside is escaped.
 */
import type { GroupState, GroupStatus, InstanceStatus, Status } from '../status/status.ts';
import { span, whenFrom } from '../text.ts';
import type { Readiness } from './readiness.ts';

export interface View {
  /** Shows groups whose id or instance holds this. */
  readonly search: string;
  /** From 1. */
  readonly page: number;
}

const groupsPerPage = 100;
const refreshSeconds = 10;
/** A group in one of these states is somebody's business. */
const needPerson: readonly GroupState[] = ['double', 'failing'];

export function renderPage(status: Status, readiness: Readiness, view: View): string {
  const nowMs = Date.parse(status.at);
  const found = status.groups.filter(
    ({ group, instance }) => group.includes(view.search) || instance.includes(view.search),
  );
  const pages = Math.max(Math.ceil(found.length / groupsPerPage), 1);
  const page = Math.min(Math.max(Math.floor(view.page), 1), pages);
  const shown = found.slice((page - 1) * groupsPerPage, page * groupsPerPage);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="${refreshSeconds}">
<title>${titleOf(status, readiness)}</title>
<style>${raw(style)}</style>
</head>
<body>
<h1>invite-rotator</h1>
<p class="note">At ${status.at}. The planner last ran ${status.lastTickAgeMs === null ? 'never' : `${span(status.lastTickAgeMs)} ago`}.</p>
<section id="attention">${attention(status, readiness)}</section>
<h2>Instances</h2>
<div class="scroll"><table id="instances">
<tr><th>Instance<th>Budget<th>Queue<th>Gate</tr>
${status.instances.map(instanceRow)}
</table></div>
<h2>Groups</h2>
<form role="search"><input name="q" type="search" aria-label="Search groups" placeholder="Search" value="${view.search}"></form>
<div class="scroll"><table id="groups">
<tr><th>Group<th>State<th>Link age<th>Next rotation<th>Last error</tr>
${shown.map((group) => groupRow(group, nowMs))}
</table></div>
<p class="note">${found.length} of ${status.groups.length} groups${pages > 1 ? `, page ${page} of ${pages}` : ''} ${pageLinks(view.search, page, pages)}</p>
</body>
</html>
`.text;
}

function titleOf({ groups }: Status, { ready }: Readiness): string {
  const count = groups.filter(({ state }) => needPerson.includes(state)).length;
  if (!ready) return 'Not ready: invite-rotator';
  return count === 0 ? 'invite-rotator' : `(${count}) invite-rotator`;
}

function attention({ groups, instances, outbox }: Status, { reasons, details }: Readiness): Html {
  const lines: Html[] = [];
  for (const reason of reasons) lines.push(html`<li>Not ready: ${reason}</li>`);
  for (const detail of details)
    lines.push(html`<li>The edited configuration is broken (${detail}): the last good one is in force</li>`);
  for (const { instance, gate } of instances) {
    if (gate !== null) lines.push(html`<li>${instance} is left alone: ${gate.reason}</li>`);
  }
  const failing = groups.filter(({ state }) => needPerson.includes(state));
  for (const { group, state, lastError } of failing.slice(0, 20)) {
    lines.push(html`<li>${group}: ${lastError === null ? state : `${lastError.code}: ${lastError.message}`}</li>`);
  }
  if (failing.length > 20) lines.push(html`<li>and ${failing.length - 20} more groups</li>`);
  for (const [queue, events] of Object.entries(outbox)) {
    if (events > 0) lines.push(html`<li>${events} events wait to be published to ${queue}</li>`);
  }
  return lines.length === 0 ? html`<p class="good">Nothing needs you.</p>` : html`<ul class="bad">${lines}</ul>`;
}

function instanceRow({ instance, budget, queue, gate }: InstanceStatus): Html {
  const used = budget === null ? '-' : `${budget.used} of ${budget.limit}`;
  const others = budget !== null && budget.foreign > 0 ? ` (${budget.foreign} by others)` : '';
  const closed =
    gate === null ? 'open' : `${gate.reason}, ${gate.opensInMs > 0 ? `opens in ${span(gate.opensInMs)}` : 'trying'}`;
  return html`<tr><td>${instance}<td>${bar(budget === null ? 0 : budget.used / budget.limit)} ${used}${others}<td>${queue.waiting} waiting, ${queue.active} active, ${queue.delayed} delayed<td class="${gate === null ? 'good' : 'bad'}">${closed}</tr>
`;
}

function groupRow({ group, state, linkAgeMs, periodMs, nextRotationAt, lastError }: GroupStatus, nowMs: number): Html {
  const age = linkAgeMs === null ? html`-` : html`${bar(linkAgeMs / periodMs)} ${span(linkAgeMs)}`;
  const next = nextRotationAt === null ? '-' : whenFrom(Date.parse(nextRotationAt) - nowMs);
  const error = lastError === null ? '' : `${lastError.code}: ${lastError.message}`;
  return html`<tr><td>${group}<td class="state ${state}">${state}<td>${age}<td>${next}<td>${error}</tr>
`;
}

function bar(share: number): Html {
  const percent = Math.round(Math.min(Math.max(share, 0), 1) * 100);
  return html`<span class="bar"><span class="${share > 1 ? 'over' : ''}" style="width:${percent}%"></span></span>`;
}

function pageLinks(search: string, page: number, pages: number): Html[] {
  const link = (to: number, text: string) =>
    html`<a href="?${new URLSearchParams({ q: search, page: String(to) }).toString()}">${text}</a> `;
  return [...(page > 1 ? [link(page - 1, 'previous')] : []), ...(page < pages ? [link(page + 1, 'next')] : [])];
}

const style = `
:root { color-scheme: light dark; --line: #8885; --bar: #4a90d9; --good: #2a8a4a; --bad: #c33; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.note { opacity: .7; } .good { color: var(--good); } .bad, .failing, .double, .uncertain { color: var(--bad); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td:last-child { white-space: normal; min-width: 10rem; }
.bar { display: inline-block; width: 5rem; height: .6rem; border: 1px solid var(--line); border-radius: .3rem; overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--bar); } .bar .over { background: var(--bad); }
input { font: inherit; padding: .3rem .6rem; width: 100%; max-width: 20rem; box-sizing: border-box; }
`;

/** Text that is HTML already. */
interface Html {
  readonly text: string;
}
type Part = string | number | Html | readonly Html[];

function raw(text: string): Html {
  return { text };
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function textOf(part: Part): string {
  if (typeof part === 'string') return part.replace(/[&<>"']/g, (char) => entities[char] ?? '');
  if (typeof part === 'number') return String(part);
  return 'text' in part ? part.text : part.map(({ text }) => text).join('');
}

/** Escapes whatever is put in, unless it is HTML already. */
function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { text: String.raw({ raw: strings }, ...parts.map(textOf)) };
}
