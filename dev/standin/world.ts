/** The state of the stand-in: tokens, instances, groups and their links. A link is dead as soon as it is replaced. */

export type Connection = 'connected' | 'connecting' | 'disconnected' | 'loggedout';

/** A token with `instance` is valid for that instance only. One without belongs to the account and is valid for all. */
export interface StandInToken {
  readonly token: string;
  readonly instance?: string;
}

export interface StandInInstance {
  readonly name: string;
  /** The JID of its phone, with the device that the real server appends. */
  readonly numberJid: string;
  connection: Connection;
  /** The status of the answer while the instance is disconnected. The real server has been seen to use both. */
  disconnectedStatus: 400 | 503;
}

export interface StandInGroup {
  readonly jid: string;
  readonly name: string;
  code: string;
  /** Instances whose phones are members of the group. */
  readonly members: Set<string>;
  /** Members who may reset the link. */
  readonly admins: Set<string>;
  /** How `info` shows the link. What the real server shows to members who are not admins is unknown. */
  link: 'shown' | 'empty' | 'missing';
  /** Every code that this group ever had, with the time at which it became live. */
  readonly history: { readonly code: string; readonly from: number }[];
}

export interface World {
  readonly tokens: Map<string, StandInToken>;
  readonly instances: Map<string, StandInInstance>;
  readonly groups: Map<string, StandInGroup>;
  /** Finds a group by JID, live code or live link. A dead code finds nothing. */
  find(identifier: string): StandInGroup | undefined;
  /** Replaces the link and returns the new code. */
  reset(group: StandInGroup, nowMs: number): string;
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/**
 * Makes a code like those of WhatsApp: 22 letters and digits. One of 150,000 would have no capital letter: without its
 * link, the program takes that for an id.
 */
export function makeCode(random: () => number): string {
  for (;;) {
    const code = Array.from({ length: 22 }, () => letters[Math.floor(random() * letters.length)]).join('');
    if (/[A-Z]/.test(code)) return code;
  }
}

export function linkTo(code: string): string {
  return `https://chat.whatsapp.com/${code}`;
}

export function createWorld(random: () => number): World {
  const groups = new Map<string, StandInGroup>();
  const byCode = new Map<string, StandInGroup>();
  return {
    tokens: new Map(),
    instances: new Map(),
    groups,
    find(identifier) {
      const direct = groups.get(identifier);
      if (direct !== undefined) return direct;
      const code = identifier.replace(/^(https?:\/\/)?chat\.whatsapp\.com\/(invite\/)?/, '');
      let group = byCode.get(code);
      if (group === undefined) {
        group = [...groups.values()].find((candidate) => candidate.code === code);
        if (group !== undefined) byCode.set(code, group);
      }
      return group?.code === code ? group : undefined;
    },
    reset(group, nowMs) {
      byCode.delete(group.code);
      group.code = makeCode(random);
      byCode.set(group.code, group);
      group.history.push({ code: group.code, from: nowMs });
      return group.code;
    },
  };
}
