/**
 * Edits of the file, as `registry.ts` registers them: the group gets another period, instance or id, is disabled, removed
 * and added again, or its id is given to another WhatsApp group and back. Removing and adding again are two edits, so
 * that anything can happen between them.
 */
import {
  type Attempt,
  type Entry,
  type GroupRecord,
  isRegistered,
  newRecord,
  publishedOf,
} from '../../src/groups/record.ts';
import { type Model, publish, type Step, settleMs } from './model.ts';
import { desiredGroup, type GroupId, jid, otherJid, type State, schedules } from './state.ts';

type Edit = Pick<Step, 'says' | 'to' | 'breaks'>;

export function editsOf(state: State, model: Model): Step[] {
  const { left, record } = state;
  if (left.edits === 0) return [];
  const before = { ...state, left: { ...left, edits: left.edits - 1 } };
  const edits = isRegistered(record) ? changesOf(before, model) : returnsOf(before, model);
  return edits.map((edit) => ({ ...edit, usual: false }));
}

function changesOf(state: State, model: Model): Edit[] {
  const entry = entryOf(state.record);
  const { group, enabled, instance } = entry;
  const schedule = schedules.find((other) => other !== entry.schedule) ?? entry.schedule;
  const put = (over: Partial<Entry>) => register(state, model, { ...entry, ...over });
  const edits: Edit[] = [
    { says: 'the file changes its period', to: put({ schedule }) },
    { says: `the file ${enabled ? 'dis' : 'en'}ables it`, to: put({ enabled: !enabled }) },
    { says: 'the file moves it to another instance', to: put({ instance: instance === 'bot' ? 'bot2' : 'bot' }) },
    { says: 'the file renames it', to: put({ group: group === 'vip' ? 'club' : 'vip' }) },
    { says: 'it leaves the file', to: remove(state, model.protocol) },
  ];
  if (group !== 'vip') return edits;
  const given = giveAway(state, model);
  const says = 'the file gives its id to another WhatsApp group';
  return [...edits, { says, to: given }, { ...adoptOther(given, model), says: `${says}, which is adopted` }];
}

function returnsOf(state: State, model: Model): Edit[] {
  const put = (group: GroupId) => register(state, model, { ...entryOf(state.record), group });
  return [
    { says: 'it is in the file again as vip', to: put('vip') },
    { says: 'it is in the file again as club', to: put('club') },
  ];
}

function entryOf({ entry }: GroupRecord): Entry {
  if (entry === null) throw new Error('the group was never registered');
  return entry;
}

/** Whether the id `vip` leads to the other WhatsApp group. */
export function isGivenAway({ other }: State): boolean {
  return other !== null && !other.replaced;
}

/** `syncRegistry` and `registerGroup`: an id that left the file is removed first. */
function register(before: State, { protocol }: Model, entry: Entry): State {
  const id = entry.group as GroupId;
  const isRenamed = before.record.entry?.group !== id;
  const comesBack = !isRegistered(before.record);
  const state = isRenamed && !comesBack ? remove(before, protocol) : before;
  const { record, other, origin, kept } = state;
  // Two steps of one tick happen one after the other: this one later than the attempt that is there already.
  const nowMs = comesBack && record.attempt?.begunAt === state.nowMs ? state.nowMs + 1 : state.nowMs;
  const held = id === 'vip' && isGivenAway(state) ? other : null;
  const inherited = {
    published: (held === null ? null : publishedOf(held)) ?? kept[id],
    failures: held?.failures ?? 0,
  };
  const to = {
    ...state,
    record: protocol.withEntry(record, desiredGroup(entry), jid, inherited, nowMs),
    other: held === null ? other : protocol.asReplaced(held, nowMs),
    origin: { ...origin, cameBack: origin.cameBack || comesBack },
    kept: {
      ...kept,
      ...(isRenamed && !record.replaced ? { [entryOf(record).group]: publishedOf(record) } : {}),
      [id]: null,
    },
  };
  return expecting(to, id, state.spoken);
}

/** `removeGroup` in `registry.ts`. */
function remove(state: State, { withoutEntry }: Model['protocol']): State {
  const { record, kept, nowMs } = state;
  return {
    ...state,
    record: withoutEntry(record, nowMs),
    kept: { ...kept, [entryOf(record).group]: publishedOf(record) },
  };
}

/** The next event of an id names the id's last revision, or the given one if it has published none. */
function expecting(state: State, id: GroupId, revision: number | null): State {
  const { held } = state.consumers[id];
  if (held !== null) return state;
  return { ...state, consumers: { ...state.consumers, [id]: { held, before: revision } } };
}

function giveAway(state: State, { protocol }: Model): State {
  const { record, nowMs } = state;
  const desired = desiredGroup({ ...entryOf(record), identifier: otherJid });
  const inherited = { published: publishedOf(record) ?? state.kept.vip, failures: record.failures };
  const other = protocol.withEntry(state.other ?? newRecord, desired, otherJid, inherited, nowMs);
  return expecting({ ...state, other, record: protocol.asReplaced(record, nowMs) }, 'vip', null);
}

/** The other WhatsApp group's link is read and published if that is due. */
function adoptOther(state: State, model: Model): Omit<Edit, 'says'> {
  const { other, nowMs, counter } = state;
  if (other === null) throw new Error('there is no other group');
  const attempt: Attempt = {
    id: `o${counter}`,
    call: 'adopt',
    begunAt: nowMs,
    leaseUntil: nowMs,
    request: null,
    covers: null,
  };
  const inputs = [
    { kind: 'started', attempt },
    { kind: 'ended', attempt, outcome: { kind: 'read', jid: otherJid, inviteCode: `o${counter}` } },
  ] as const;
  let record = other;
  let published: { readonly to: State; readonly breaks: string | undefined } = { to: state, breaks: undefined };
  for (const input of inputs) {
    const changed = model.protocol.transition(record, input, nowMs, settleMs(model));
    record = changed.record;
    published = publish(published.to, changed.events);
  }
  return {
    to: { ...published.to, other: record, spoken: state.spoken, counter: counter + 1 },
    breaks: published.breaks,
  };
}
