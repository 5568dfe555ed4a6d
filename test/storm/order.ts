/** Checks the order of events, both by id and by WhatsApp group, since a group may change its id. */
import { type History, isForgotten, isRelearning, type SeenEvent } from './history.ts';

export function ordered(history: History): string[] {
  const { events, added } = history;
  return Object.entries(events).flatMap(([queue, seen]) => {
    const byId = new Map(seen.map((event) => [event.id, event]));
    const inOrder = [...new Set((added[queue] ?? []).map(({ id }) => id))].flatMap((id) => byId.get(id) ?? []);
    return wrongOrder(
      inOrder.filter(({ type }) => type !== 'rotation.failed'),
      history,
    ).map((wrong) => `${queue}: ${wrong}`);
  });
}

function wrongOrder(events: readonly SeenEvent[], history: History): string[] {
  const lastOfId = new Map<string, SeenEvent>();
  const lastOfJid = new Map<string, SeenEvent>();
  return events.flatMap((event) => {
    // An event on its way to a queue when Redis was emptied may arrive after newer ones.
    const last = lastOfId.get(event.group);
    const isLate = (last?.revision ?? 0) > (event.revision ?? 0);
    if (isLate && isForgotten(history, event.revision ?? 0, last?.revision ?? 0)) return [];
    const ofId = lastOfId.get(event.group);
    const ofJid = lastOfJid.get(event.jid ?? '');
    lastOfId.set(event.group, event);
    lastOfJid.set(event.jid ?? '', event);
    // After Redis was emptied, groups are adopted with higher revisions and without a previous one.
    const isNew = [ofId, ofJid].some((one) =>
      isForgotten(history, one?.revision ?? event.receivedAt, event.receivedAt),
    );
    if (isNew && event.reason === 'adopted' && event.previousRevision === null) {
      return [...wrongAlone(event), ...tooLow(event, ofId, ofJid)];
    }
    return [...wrongAlone(event), ...tooLow(event, ofId, ofJid), ...wrongAfter(event, ofId, ofJid)];
  });
}

/** No event carries an earlier code of its WhatsApp group. Only the latest may be published again, under another id. */
export function noReuse(history: History): string[] {
  const { events, added } = history;
  return Object.entries(events).flatMap(([queue, seen]) => {
    const byId = new Map(seen.map((event) => [event.id, event]));
    const codesByJid = new Map<string, string[]>();
    return [...new Set((added[queue] ?? []).map(({ id }) => id))].flatMap((id) => {
      const event = byId.get(id);
      if (event?.jid == null || event.inviteCode === null || event.type === 'rotation.failed') return [];
      const codes = codesByJid.get(event.jid) ?? [];
      const isAgain = codes.slice(0, -1).includes(event.inviteCode);
      if (codes.at(-1) !== event.inviteCode) codesByJid.set(event.jid, [...codes, event.inviteCode]);
      // An emptied Redis has lost the earlier codes.
      const isExcused = isRelearning(history, event.receivedAt);
      return isAgain && !isExcused ? [`${queue}: ${id} carries a code that ${event.jid} had before`] : [];
    });
  });
}

function wrongAlone({ id, group, revision, inviteCode, previousInviteCode }: SeenEvent): string[] {
  const wrong: string[] = [];
  if (inviteCode === previousInviteCode) wrong.push(`${id} reports no change`);
  if (id !== `${group}.${revision}`) wrong.push(`${id} has revision ${revision}`);
  return wrong;
}

function tooLow({ id, revision }: SeenEvent, ...earlier: (SeenEvent | undefined)[]): string[] {
  return earlier.flatMap((before) =>
    before !== undefined && (revision ?? 0) <= (before.revision ?? 0) ? [`${id} came after ${before.id}`] : [],
  );
}

function wrongAfter(event: SeenEvent, ofId: SeenEvent | undefined, ofJid: SeenEvent | undefined): string[] {
  const { id, jid, previousRevision, reason } = event;
  const wrong: string[] = [];
  if (ofJid === undefined && reason !== 'adopted') wrong.push(`${id} is the first of ${jid}, and not adopted`);
  // If the id changed its WhatsApp group, or the group its id, the event may follow the last event of either.
  const before = ofId === ofJid ? [ofId] : [ofId, ofJid];
  if (!before.some((one) => names(event, one))) {
    const were = before.map((one) => one?.revision ?? 'none').join(' or ');
    wrong.push(`${id} names ${previousRevision} as the one before, which was ${were}`);
  }
  return wrong;
}

/** `before` is undefined for a first event. A link that is published again names the code that it had replaced. */
function names(
  { previousRevision, previousInviteCode, inviteCode }: SeenEvent,
  before: SeenEvent | undefined,
): boolean {
  if (before === undefined) return previousRevision === null;
  const isAgain = before.inviteCode === inviteCode;
  return previousRevision === before.revision && (isAgain || previousInviteCode === before.inviteCode);
}
