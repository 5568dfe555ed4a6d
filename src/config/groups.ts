/**
 * Reads `defaults` and the list `groups`. What several keys make together (schedule, instance, uniqueness) is checked
 * on whatever is right; what a wrong key elsewhere would explain is not reported again.
 */
import { identifierText, parseIdentifier } from '../ryze/identifier.ts';
import type { Schedule } from '../schedule/schedule.ts';
import type { Window } from '../schedule/window.ts';
import type { GroupConfig } from './config.ts';
import { found } from './describe.ts';
import { reportTwins } from './duplicates.ts';
import { listWanted } from './instances.ts';
import { type Path, pathText, type Report, short } from './problems.ts';
import { isMap, type MapRead, readMap, valueAt } from './readMap.ts';
import { defaultsMap, groupMap, windowMap } from './schema/groups.ts';
import { didYouMean } from './suggest.ts';

/** `defaults` or a group: its own keys, and its window, which is a map within. */
interface Settings {
  readonly map: MapRead<typeof defaultsMap.shape>;
  /** undefined: none, or a wrong one. */
  readonly window: Window | undefined;
  readonly sound: boolean;
}

export function readGroups(
  defaultsValue: unknown,
  list: unknown,
  instances: readonly string[],
  report: Report,
): GroupConfig[] {
  const defaults = readSettings(readMap(defaultsMap, defaultsValue, ['defaults'], report), defaultsValue, report);
  checkInstance(defaults.map, instances, report);
  if (!Array.isArray(list) || list.length === 0) {
    report(['groups'], list === undefined ? 'is required' : `${listWanted}, found ${found(list, false)}`);
    return [];
  }
  const groups = list.flatMap((value, index) => {
    const group = readGroup(value, ['groups', index], defaults, instances, report);
    return group === null ? [] : [group];
  });
  checkUnique(list, report);
  return groups;
}

function readGroup(
  value: unknown,
  at: Path,
  defaults: Settings,
  instances: readonly string[],
  report: Report,
): GroupConfig | null {
  const map = readMap(groupMap, value, at, report);
  if (!isMap(value)) return null;
  const own = readSettings(map, value, report);
  const schedule = chooseSchedule(own, defaults, report);
  const instance = chooseInstance(own, defaults, instances, report);
  const { id, identifier } = map.values;
  if (!own.sound || !defaults.sound || schedule === null || instance === null) return null;
  const parsed = identifier === undefined ? null : parseIdentifier(identifier);
  if (id === undefined || parsed === null) return null;
  return {
    id,
    identifier: parsed,
    instance,
    schedule,
    firstSeen: map.values.firstSeen ?? defaults.map.values.firstSeen ?? 'spread',
    enabled: map.values.enabled ?? defaults.map.values.enabled ?? true,
  };
}

function readSettings(map: Settings['map'], value: unknown, report: Report): Settings {
  const given = valueAt(value, 'window');
  const both = map.set.has('every') && map.set.has('cron');
  if (both) report(map.at, 'has both "every" and "cron": one must go');
  if (given === undefined) return { map, window: undefined, sound: map.sound && !both };
  const at = [...map.at, 'window'];
  if (given === null) {
    report(at, 'expected a map, found nothing');
    return { map, window: undefined, sound: false };
  }
  const { values, sound } = readMap(windowMap, given, at, report);
  const { from, to, days } = values;
  const empty = from !== undefined && from === to;
  if (empty) report(at, '"from" and "to" are the same: the window is never open');
  const twins = (days ?? []).map((day, index) => ({ key: day, path: [...at, 'days', index] }));
  reportTwins(twins, ({ key }) => `"${key}" is named twice`, report);
  const twice = new Set(days).size !== (days ?? []).length;
  if (!sound || empty || twice || from === undefined || to === undefined || days === undefined) {
    return { map, window: undefined, sound: false };
  }
  return { map, window: { fromMinute: from, toMinute: to, days }, sound: map.sound && !both };
}

/** A group's own `every` or `cron` replaces a default of either kind. */
function chooseSchedule(own: Settings, defaults: Settings, report: Report): Schedule | null {
  const says = ({ map }: Settings) => map.set.has('every') || map.set.has('cron');
  if (!says(own) && !says(defaults)) {
    if (!own.map.strays && !defaults.map.strays) report(own.map.at, 'needs "every" or "cron", here or in defaults');
    return null;
  }
  const { every, cron } = (says(own) ? own : defaults).map.values;
  const timezone = own.map.values.timezone ?? defaults.map.values.timezone ?? 'UTC';
  const window = own.window ?? defaults.window ?? null;
  if (every !== undefined) return { timezone, window, kind: 'every', everyMs: every };
  return cron === undefined ? null : { timezone, window, kind: 'cron', cron };
}

function chooseInstance(own: Settings, defaults: Settings, known: readonly string[], report: Report): string | null {
  if (own.map.set.has('instance')) return checkInstance(own.map, known, report);
  if (defaults.map.set.has('instance')) return defaults.map.values.instance ?? null;
  if (known.length > 1) {
    if (own.map.strays || defaults.map.strays) return null;
    const some = `${known.slice(0, 5).join(', ')}${known.length > 5 ? ', …' : ''}`;
    report(own.map.at, `needs "instance": one of ${some}`);
    return null;
  }
  return known[0] ?? null;
}

function checkInstance({ at, values }: Settings['map'], known: readonly string[], report: Report): string | null {
  const { instance } = values;
  if (instance === undefined || known.includes(instance)) return instance ?? null;
  if (known.length > 0)
    report([...at, 'instance'], `no instance is named "${short(instance)}"${didYouMean(instance, known)}`);
  return null;
}

/** Also among groups about which something else is wrong. A code and the link with that code are the same. */
function checkUnique(list: readonly unknown[], report: Report): void {
  const places = (key: string, keyOf: (value: unknown) => string | null) =>
    list.flatMap((group, index) => {
      const name = keyOf(valueAt(group, key));
      return name === null ? [] : [{ key: name, path: ['groups', index, key] }];
    });
  const ids = places('id', (id) => (typeof id === 'string' ? id : null));
  const identifiers = places('identifier', (text) => {
    const parsed = typeof text === 'string' ? parseIdentifier(text) : null;
    return parsed === null ? null : identifierText(parsed);
  });
  for (const named of [ids, identifiers]) reportTwins(named, ({ path }) => `is the same as ${pathText(path)}`, report);
}
