/** Finds groups of a configuration without walking through all of them: there may be a hundred thousand. */
import type { Config, GroupConfig } from './config.ts';

export interface Lookup {
  readonly byId: ReadonlyMap<string, GroupConfig>;
  /** Those that the file names by their JID. */
  readonly byJid: ReadonlyMap<string, GroupConfig>;
}

/** Made once for each list of groups, which is frozen. */
const lookups = new WeakMap<readonly GroupConfig[], Lookup>();

export function lookUp({ groups }: Pick<Config, 'groups'>): Lookup {
  let lookup = lookups.get(groups);
  if (lookup === undefined) {
    const named = groups.flatMap((group) =>
      group.identifier.kind === 'jid' ? [[group.identifier.jid, group] as const] : [],
    );
    lookup = { byId: new Map(groups.map((group) => [group.id, group])), byJid: new Map(named) };
    lookups.set(groups, lookup);
  }
  return lookup;
}
