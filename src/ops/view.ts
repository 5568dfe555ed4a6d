/** Which groups the status page lists: its query, and the addresses of other views. Pure. */

import { type GroupState, groupStates } from '../groups/states.ts';
import type { Filter } from '../status/attention.ts';
import type { GroupStatus, Status } from '../status/status.ts';

export interface View {
  /** Words; a group is listed if it contains each of them, in any case. */
  readonly search: string;
  /** From 1. */
  readonly page: number;
  /** Only groups in this state. Null or absent: all. */
  readonly state?: GroupState | null;
  /** Only groups of this instance. Null or absent: all. */
  readonly instance?: string | null;
}

const maxSearch = 200;

/** `query`: of the request, not checked. What is unknown counts as absent. */
export function viewOf(query: Readonly<Record<string, unknown>>): View {
  const { q, page, state, instance } = query;
  return {
    search: typeof q === 'string' ? q.slice(0, maxSearch) : '',
    page: Math.max(Math.floor(Number(page)) || 1, 1),
    state: groupStates.find((one) => one === state) ?? null,
    instance: typeof instance === 'string' && instance !== '' ? instance.slice(0, maxSearch) : null,
  };
}

/**
 * The address of a view: a query only, so it is right wherever the page is served, behind any prefix, with and without a
 * slash at its end.
 */
export function hrefOf({ search, page, state, instance }: View): string {
  const query = new URLSearchParams();
  if (search !== '') query.set('q', search);
  if (state) query.set('state', state);
  if (instance) query.set('instance', instance);
  if (page > 1) query.set('page', String(page));
  return `?${query.toString()}`;
}

export function filteredView({ q = '', state, instance }: Filter): View {
  return { search: q, page: 1, state: state ?? null, instance: instance ?? null };
}

/** What a group is searched by, in lower case. Kept for as long as the reading that it belongs to is shown. */
const texts = new WeakMap<GroupStatus, string>();

function textOf(group: GroupStatus): string {
  const known = texts.get(group);
  if (known !== undefined) return known;
  const { title, jid, instance, state, lastError, duplicateOf } = group;
  const parts = [group.group, title ?? '', instance, state, jid ?? '', lastError?.code ?? '', lastError?.message ?? ''];
  const text = [...parts, duplicateOf ?? ''].join('\n').toLowerCase();
  texts.set(group, text);
  return text;
}

/** The groups that a view lists, on all of its pages. */
export function groupsIn(
  { groups }: Pick<Status, 'groups'>,
  { search, state, instance }: View,
): readonly GroupStatus[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return groups.filter(
    (group) =>
      (!state || group.state === state) &&
      (!instance || group.instance === instance) &&
      words.every((word) => textOf(group).includes(word)),
  );
}
