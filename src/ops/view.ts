/** Which groups the status page lists: its query, and the addresses of other views. Pure. */
import { groupStates } from '../groups/states.ts';
import type { Filter } from '../status/attention.ts';
import type { View } from '../status/list.ts';

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

/** The same for an answer in a format that the query asks for. */
export function addressOf(view: View, { format }: Readonly<Record<string, unknown>>): string {
  const href = hrefOf(view);
  return typeof format === 'string' ? `${href}&format=${encodeURIComponent(format)}` : href;
}
