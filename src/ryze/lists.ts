/**
 * RyzeAPI's lists of groups and instances, reduced to what this program reads. Their shapes are only partly documented, so
 * they are read tolerantly: what is missing or has another form is null, which means unknown and never "no".
 */
import { z } from 'zod';
import { isJid } from './identifier.ts';
import type { CallFailure, RateLimit } from './outcome.ts';

/** A WhatsApp group that the instance's phone is a member of. */
export interface ListedGroup {
  readonly jid: string;
  /** One line; empty if the answer has none. Anything may be in it: members choose it. */
  readonly name: string;
  readonly members: number | null;
}

export interface GroupList {
  readonly groups: readonly ListedGroup[];
  /** Entries whose JID could not be read: a group that is not among `groups` may be one of them. */
  readonly unread: number;
}

export interface ListedInstance {
  readonly name: string | null;
  /** RyzeAPI's word, in lower case: `connected`, `disconnected`, `qr` and others. */
  readonly state: string | null;
}

/** The result of a call that lists something. */
export type ListOutcome<T> =
  | { readonly kind: 'listed'; readonly list: T; readonly rateLimit: RateLimit | null }
  | CallFailure;

const success = z.literal(true).optional();
const text = z.string().nullish().catch(null);

const groupEntry = z
  .object({
    ...{ groupJid: text, id: text, name: text, subject: text },
    memberCount: z.int().nonnegative().nullish().catch(null),
  })
  .transform(({ groupJid, id, name, subject, memberCount }) => ({
    jid: (groupJid || id || '').trim(),
    name: oneLine(name || subject || ''),
    members: memberCount ?? null,
  }));

/** A server in Go writes an empty list as null. A list without any JID has a form that is not known. */
export const groupsBody = z
  .object({ success, groups: z.array(z.unknown()).nullable() })
  .transform(({ groups }): GroupList => {
    const entries = (groups ?? []).map((group) => groupEntry.safeParse(group).data ?? null);
    const byJid = new Map(entries.flatMap((group) => (group !== null && isJid(group.jid) ? [[group.jid, group]] : [])));
    return { groups: [...byJid.values()], unread: entries.filter((group) => !group?.jid).length };
  })
  .refine(({ groups, unread }) => unread === 0 || groups.length > 0);

const instanceEntry = z
  .object({ instanceName: text, name: text, connection: z.object({ state: text }).nullish().catch(null) })
  .transform(({ instanceName, name, connection }): ListedInstance => {
    const state = connection?.state?.trim().toLowerCase() ?? '';
    return { name: instanceName || name || null, state: /^[a-z_-]{1,30}$/.test(state) ? state : null };
  });

/** The answer contains tokens. Nothing but names and states leaves this function. */
export const instancesBody = z
  .object({ success, instances: z.array(z.unknown()).nullable() })
  .transform(({ instances }) => (instances ?? []).flatMap((one) => instanceEntry.safeParse(one).data ?? []));

/** Longer names are cut. WhatsApp allows 100 characters, and so does a title in the file. */
const maxNameLength = 100;
/** What breaks a line, cannot be shown, or changes the direction of the text after it. */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff-\uffff]+/gu;

/** Without invite links, which some groups have in their names. */
function oneLine(name: string): string {
  const line = name
    .replace(unprintable, ' ')
    .replace(/\s+/g, ' ')
    .replace(/chat\.whatsapp\.com\/\S+/gi, 'chat.whatsapp.com/[redacted]');
  const cut = line.trim().slice(0, maxNameLength);
  // Half of a character that takes two units.
  return cut.replace(/[\ud800-\udbff]$/, '').trimEnd();
}
