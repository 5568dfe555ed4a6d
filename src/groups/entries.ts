/** What a configuration says of its groups, in the form in which it is registered. Pure. */
import type { Config, GroupConfig } from '../config/config.ts';
import { identifierText } from '../ryze/identifier.ts';
import type { Entry } from './record.ts';
import type { Wanted } from './register.ts';

export function allWanted(config: Pick<Config, 'groups' | 'results' | 'verify'>): Wanted[] {
  return config.groups.map((group) => ({ entry: entryOf(group, config), firstSeen: group.firstSeen }));
}

function entryOf(group: GroupConfig, { results, verify }: Pick<Config, 'results' | 'verify'>): Entry {
  const { id, instance, identifier, enabled, schedule } = group;
  return {
    group: id,
    instance,
    identifier: identifierText(identifier),
    enabled,
    schedule: structuredClone(schedule) as Entry['schedule'],
    queues: [...results.queues],
    verifyEveryMs: verify?.everyMs ?? null,
  };
}
