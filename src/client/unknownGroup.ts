/** The message about a group that a person or a program named and that does not exist. */
import { didYouMean } from '../config/nearMiss.ts';
import { codeIn } from '../groups/jids.ts';
import { isJid, readIdentifier } from '../ryze/identifier.ts';

/**
 * `where`: says what the group is missing from. `ids`: the groups that there are. A link is not repeated, and no group is
 * suggested for it.
 */
export function unknownGroup(name: string, where: string, ids: readonly string[]): string {
  if (codeIn(name) !== null) return 'unknown link: no registered group has or had it';
  const identifier = readIdentifier(name);
  // No id has these characters.
  if ('problem' in identifier && /[./@\s]/.test(name)) return `unknown group: the name ${identifier.problem}`;
  const hint = isJid(name) ? '' : didYouMean(name, ids);
  return `unknown group ${JSON.stringify(name.slice(0, 64))}: it is ${where}${hint}`;
}
