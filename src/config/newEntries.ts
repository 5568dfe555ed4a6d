/**
 * Entries for WhatsApp groups that the file does not have yet, as YAML that can be appended to it. What such an entry
 * needs, and how far it is indented, depends on the file.
 */
import type { Pair } from 'yaml';
import { yaml } from '../packages.ts';

export interface NewGroup {
  readonly jid: string;
  /** At most 100 characters on one line; empty where it is unknown. */
  readonly name: string;
  /** Null where an entry needs none: the file has one instance, or its defaults name this one. */
  readonly instance: string | null;
}

/** The longest id that the file accepts. */
const maxIdLength = 64;

/** An id for each JID, made from the group's name: different from each other and from `taken`. */
export function idsFor(
  groups: readonly Pick<NewGroup, 'jid' | 'name'>[],
  taken: Iterable<string>,
): Map<string, string> {
  const used = new Set(taken);
  const ids = new Map<string, string>();
  for (const { jid, name } of groups) {
    const base = slug(name) || `group-${jid.split('@')[0]?.slice(-6)}`;
    let id = base;
    for (let n = 2; used.has(id); n++) id = `${base.slice(0, maxIdLength - 1 - String(n).length)}-${n}`;
    used.add(id);
    ids.set(jid, id);
  }
  return ids;
}

/** Letters that Unicode does not take apart. */
const letters: Readonly<Record<string, string>> = { ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', đ: 'd', ł: 'l', ı: 'i' };

/** `Curso de Verão 2026` becomes `curso-de-verao-2026`; a name without Latin letters or digits becomes empty. */
function slug(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{Mark}/gu, '')
    .replace(/[ßæœøđłı]/g, (letter) => letters[letter] ?? '')
    .replace(/[^a-z0-9_]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, maxIdLength)
    .replace(/[-_]+$/, '');
}

/** What new entries must fit. */
export interface Surroundings {
  /** Of the `-` of each entry. */
  readonly indent: number;
  /** The file's defaults have no schedule, so each entry needs one of its own. */
  readonly needsSchedule: boolean;
  /** `defaults.instance` of the file. */
  readonly defaultInstance: string | null;
  /** Where the entries can go: at the end of the file, after a line `groups:`, or only into the list by hand. */
  readonly place: 'end' | 'newList' | 'list';
  /** The file's last line has no end. */
  readonly isLineOpen: boolean;
}

/** `text`: of a valid file, which may lack groups. */
export function surroundingsOf(text: string): Surroundings {
  const { isMap, isScalar, isSeq, parseDocument } = yaml();
  const { contents } = parseDocument(text);
  const isLineOpen = text !== '' && !text.endsWith('\n');
  const common = { indent: 2, defaultInstance: null, isLineOpen } as const;
  if (!isMap(contents)) return { ...common, needsSchedule: true, place: 'newList' };
  const pairOf = (key: string) =>
    contents.items.find((item: Pair) => isScalar(item.key) && item.key.value === key) as Pair | undefined;
  const groups = pairOf('groups');
  const list = groups?.value;
  const defaults = pairOf('defaults')?.value;
  const own = isMap(defaults) ? (defaults.toJSON() as Record<string, unknown>) : {};
  const needs = {
    needsSchedule: own.every === undefined && own.cron === undefined,
    defaultInstance: typeof own.instance === 'string' ? own.instance : null,
  };
  if (groups === undefined) return { ...common, ...needs, place: 'newList' };
  const isLast = contents.flow !== true && contents.items.at(-1) === groups;
  if (isSeq(list) && list.flow !== true) {
    const start = list.range?.[0] ?? 0;
    const indent = start - (text.lastIndexOf('\n', start - 1) + 1);
    return { indent, ...needs, isLineOpen, place: isLast ? 'end' : 'list' };
  }
  // `groups:` without a value takes entries below it; `groups: []` takes none.
  const isOpen = isScalar(list) && list.value === null && list.source === '';
  return { ...common, ...needs, place: isOpen && isLast ? 'end' : 'list' };
}

/** Items of `groups:`, which end with a line break. */
export function renderEntries(
  groups: readonly NewGroup[],
  ids: ReadonlyMap<string, string>,
  { indent, needsSchedule }: Pick<Surroundings, 'indent' | 'needsSchedule'>,
): string {
  const space = ' '.repeat(indent);
  const entries = groups.map(({ jid, name, instance }) => {
    const lines = [
      `id: ${scalar(ids.get(jid) ?? '')}`,
      ...(name === '' ? [] : [`title: ${scalar(name)}`]),
      `identifier: ${scalar(jid)}`,
      ...(instance === null ? [] : [`instance: ${scalar(instance)}`]),
      ...(needsSchedule ? ['every: 7d'] : []),
    ];
    return lines.map((line, i) => `${space}${i === 0 ? '- ' : '  '}${line}\n`).join('');
  });
  return entries.join('');
}

/** Text as YAML, in quotes where it would be something else without them. */
export function scalar(text: string): string {
  return yaml().stringify(text, { lineWidth: 0 }).trimEnd();
}
