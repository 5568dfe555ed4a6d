/** What all pages share: the document around the content, times, ids, tables and bars. */
import { createHash } from 'node:crypto';
import { type Html, html, raw } from '../web/html.ts';
import { refreshSeconds, script } from './script.ts';
import { style } from './style.ts';

/** The pages' Content-Security-Policy: nothing from elsewhere, and no script but their own. */
export const securityPolicy = [
  "default-src 'none'",
  `script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'`,
  "style-src 'unsafe-inline'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

export interface Content {
  readonly title: string;
  /** The address of the status page, relative to this one. */
  readonly home: string;
  readonly search: string;
  /** The page has the list of groups, which follows while somebody types. */
  readonly isList?: boolean;
  /** What a search keeps of the view, as hidden fields. */
  readonly kept?: Readonly<Record<string, string | null | undefined>>;
  readonly main: Html;
  readonly footer: Html;
}

export function renderDocument({ title, home, search, isList = false, kept = {}, main, footer }: Content): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<noscript><meta http-equiv="refresh" content="${refreshSeconds}"></noscript>
<title>${title}</title>
<style>${raw(style)}</style>
</head>
<body>
<header>
<h1><a href="${home}">invite-rotator</a></h1>
<form role="search" action="${home}"${isList ? raw(' data-live') : ''}>${Object.entries(kept).map(([name, value]) =>
    value ? html`<input type="hidden" name="${name}" value="${value}">` : html``,
  )}<input name="q" type="search" aria-label="Search groups" placeholder="Group, instance, state, error or JID" value="${search}"></form>
</header>
<p id="stale" role="alert">This page is out of date: the worker that serves it does not answer. Check that the worker is running.</p>
<main>
${main}
</main>
<footer class="quiet">${footer} <span>Times are in <span class="zone">UTC</span>.</span></footer>
<script>${raw(script)}</script>
</body>
</html>
`.text;
}

/** A time in UTC, which the script shows in the reader's zone. */
export function time(iso: string): Html {
  return html`<time datetime="${iso}">${utc(iso)}</time>`;
}

/** A duration from or until a time, which is its title. */
export function timeAs(iso: string, text: string): Html {
  return html`<time datetime="${iso}" title="${utc(iso)}">${text}</time>`;
}

function utc(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

/** An id, which never breaks: a long one is shortened where it does not fit. */
export function idText(id: string): Html {
  return html`<span class="id" title="${id}">${id}</span>`;
}

export function groupLink(id: string, home = ''): Html {
  return html`<a class="id" title="${id}" href="${home}?group=${encodeURIComponent(id)}">${id}</a>`;
}

/** Longer ones are no ids, and may break anywhere. */
const maxId = 100;

/** Words that are longer and no ids may break anywhere. */
const maxWord = 30;

/** A text whose ids do not break. */
export function prose(text: string): Html[] {
  return text.split(/(\s+)/).map((word) => {
    if (isId(word)) return html`<span class="id">${word}</span>`;
    return word.length > maxWord ? html`<span class="long">${word}</span>` : html`${word}`;
  });
}

function isId(word: string): boolean {
  return /[\w.:@]-[\w.:@]/.test(word) && word.length <= maxId;
}

/** `make its phone an admin` → `Make its phone an admin.` An error code keeps its case. */
export function sentence(text: string): Html[] {
  if (text === '') return [];
  const isCode = /^\w+_/.test(text);
  return prose(
    `${isCode ? text.charAt(0) : text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`,
  );
}

export interface Column<T> {
  readonly name: string;
  readonly cell: (row: T) => Html | string | readonly Html[];
  readonly style?: (row: T) => string;
}

/**
 * The roles are explicit, because a narrow screen shows rows as cards, and browsers drop the roles of tables that are not
 * displayed as such.
 */
export function table<T>(
  { id, caption, keyOf }: { id: string; caption: string; keyOf: (row: T) => string },
  columns: readonly Column<T>[],
  rows: readonly T[],
): Html {
  return html`<table id="${id}" role="table" aria-label="${caption}">
<caption class="hidden">${caption}</caption>
<thead role="rowgroup"><tr role="row">${columns.map(({ name }) => html`<th role="columnheader" scope="col">${name}</th>`)}</tr></thead>
<tbody role="rowgroup">
${rows.map((row) => tableRow(columns, row, keyOf(row)))}</tbody>
</table>`;
}

function tableRow<T>(columns: readonly Column<T>[], row: T, key: string): Html {
  return html`<tr role="row" data-key="${key}">${columns.map(({ name, cell, style }, i) => {
    const role = i === 0 ? 'rowheader' : 'cell';
    const content = cell(row);
    const inner = typeof content === 'string' ? html`${content}` : html`${content}`;
    return html`<td role="${role}" data-of="${name}" class="${style?.(row) ?? ''}">${inner.text === '' ? '' : html`<div>${inner}</div>`}</td>`;
  })}</tr>
`;
}

export function bar(share: number, what: string): Html {
  const percent = Math.round(share * 100);
  const width = Math.min(Math.max(percent, 0), 100);
  return html`<span class="bar" role="img" aria-label="${percent} % ${what}" title="${percent} % ${what}"><span class="${share > 1 ? 'over' : ''}" style="width:${width}%"></span></span>`;
}
