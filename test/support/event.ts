/** An event as the worker would publish it. */
import type { LinkEvent } from '../../src/contract/event.ts';

export function eventOf(group: string, revision: number, over: object = {}): LinkEvent {
  return {
    version: 1,
    id: `${group}.${revision}`,
    type: 'link.rotated',
    group,
    jid: '120363406289005073@g.us',
    instance: 'bot',
    inviteCode: `CODE${revision}`,
    inviteLink: `https://chat.whatsapp.com/CODE${revision}`,
    previousInviteCode: null,
    revision,
    previousRevision: null,
    reason: 'schedule',
    request: null,
    rotatedAt: new Date(revision).toISOString(),
    nextRotationAt: null,
    ...over,
  } as LinkEvent;
}
