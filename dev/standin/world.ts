/** What the stand-in knows of: tokens, instances, groups and their links. A link is dead the moment it is replaced. */

export type Connection = 'connected' | 'connecting' | 'disconnected' | 'loggedout';

/** `instance`: good for that one; absent: an account's token, good for every instance. */
export interface StandInToken {
  readonly token: string;
  readonly instance?: string;
}

export interface StandInInstance {
  readonly name: string;
  connection: Connection;
  /** Under which status a disconnected instance is reported: the real server has been seen to use both. */
  disconnectedStatus: 400 | 503;
}

export interface StandInGroup {
  readonly jid: string;
  code: string;
  /** Instances whose numbers are members. */
  readonly members: Set<string>;
  /** Members who may reset the link. */
  readonly admins: Set<string>;
  /** What `info` shows of the link: the real server's answer to those who are not admins is unknown. */
  link: 'shown' | 'empty' | 'missing';
  /** Every code this group ever had, with the time from which it was live. */
  readonly history: { readonly code: string; readonly from: number }[];
}

export interface World {
  readonly tokens: Map<string, StandInToken>;
  readonly instances: Map<string, StandInInstance>;
  readonly groups: Map<string, StandInGroup>;
  /** By JID, live code, or a link to it. Dead codes lead nowhere. */
  find(identifier: string): StandInGroup | undefined;
  /** Replaces the link; returns the new code. */
  reset(group: StandInGroup, nowMs: number): string;
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Like WhatsApp's: 22 letters and digits. */
export function makeCode(random: () => number): string {
  return Array.from({ length: 22 }, () => letters[Math.floor(random() * letters.length)]).join('');
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
      let found = byCode.get(code);
      if (found === undefined) {
        found = [...groups.values()].find((group) => group.code === code);
        if (found !== undefined) byCode.set(code, found);
      }
      return found?.code === code ? found : undefined;
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
