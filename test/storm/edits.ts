/**
 * Edits of the configuration file while calls are in flight: changed periods, ids and instances; groups that are disabled,
 * removed and added again; ids that change their WhatsApp group; a replaced instance; and undone edits.
 */
import type { StandIn } from '../../dev/standin/standIn.ts';
import type { Entry, FileModel, Slot } from './file.ts';
import { latePeriods, restoreFile, settleFile, soonPeriods } from './file.ts';
import type { Place } from './history.ts';
import type { Random } from './random.ts';
import { instanceNames } from './settings.ts';

export interface Edits {
  /** The current content of the file. */
  readonly file: FileModel;
  readonly places: Readonly<Record<string, readonly Place[]>>;
  /** How many edits of each kind were made. */
  readonly counts: Readonly<Record<string, number>>;
  /** Makes a random edit and returns its kind. */
  make(): string;
  /** Takes the groups whose resets are in flight out of the schedule or makes them due later. */
  shelve(): void;
  /**
   * Disables the groups whose resets are in flight, so that no job is left to settle them. A removed group would stay
   * scheduled for as long as the file of a killed worker is in force.
   */
  disable(): void;
  /** Adds and enables every group, with a short period. */
  restore(): void;
  /** The last edit: no group is due for a long time. */
  settle(): void;
}

type Kind = (entries: Entry[]) => void;

export function createEdits(first: FileModel, standIn: StandIn, random: Random): Edits {
  let file = first;
  let before = structuredClone(first);
  let renames = 0;
  const counts: Record<string, number> = {};
  const places: Record<string, Place[]> = {};
  notePlaces();

  function notePlaces(): void {
    const from = Date.now();
    for (const { jid, group, slot, present } of file.entries) {
      const all = places[jid] ?? [];
      places[jid] = all;
      const place = { from, group: present ? group : null, instance: present ? file.slots[slot].name : null };
      const last = all.at(-1);
      if (last?.group !== place.group || last?.instance !== place.instance) all.push(place);
    }
  }

  /** The JIDs whose resets are in flight or ended at most `endedMs` ago. */
  function resetting(endedMs: number): string[] {
    const now = Date.now();
    return standIn.log.all.slice(-300).flatMap(({ endpoint, begin, end, jid }) => {
      const isInFlight = endpoint === 'reset' && begin <= now && (end === null || end > now - endedMs);
      return isInFlight && jid !== null ? [jid] : [];
    });
  }

  /** Picks groups to edit. Half of them are in the middle of a reset, since that is when an edit is dangerous. */
  function targets(): Entry[] {
    const inFlight = resetting(1_000);
    const count = Math.ceil(random.between(0, 6));
    const busy = new Set(Array.from({ length: count }, () => random.pick(inFlight)));
    const chosen = new Set(file.entries.filter(({ jid }) => busy.has(jid)));
    for (let i = 0; i < count; i++) chosen.add(random.pick(file.entries));
    return [...chosen];
  }

  const present = (entries: Entry[]) => entries.filter((entry) => entry.present);

  const kinds: Record<string, Kind> = {
    period(entries) {
      for (const entry of entries) entry.every = random.pick([...soonPeriods, ...latePeriods]);
    },
    rename(entries) {
      for (const entry of present(entries)) entry.group = `${entry.group.split('-')[0]}-${++renames}`;
    },
    move(entries) {
      for (const entry of entries) entry.slot = entry.slot === 0 ? 1 : 0;
    },
    toggle(entries) {
      for (const entry of entries) entry.enabled = !entry.enabled;
    },
    enable() {
      for (const entry of file.entries) entry.enabled = true;
    },
    remove(entries) {
      for (const entry of entries) entry.present = false;
    },
    putBack() {
      for (const entry of file.entries) if (random() < 0.7) entry.present = true;
    },
    /** One of the two may be absent from the file. Then the other one takes over its id. */
    swap(entries) {
      for (let i = 0; i + 1 < entries.length; i += 2) {
        const [a, b] = [entries[i] as Entry, entries[i + 1] as Entry];
        [a.jid, b.jid] = [b.jid, a.jid];
      }
    },
    /** All groups of that instance move to a new one. */
    replaceInstance() {
      const used = file.slots.map(({ name }) => name);
      const slot: Slot = random.pick(file.slots);
      slot.name = random.pick(instanceNames.filter((name) => !used.includes(name)));
    },
  };
  const often = ['period', 'rename', 'move', 'toggle', 'remove', 'swap'];

  function undo(): void {
    [file, before] = [before, file];
  }

  const shelvings = {
    disable(entry: Entry) {
      entry.enabled = false;
    },
    remove(entry: Entry) {
      entry.present = false;
    },
    late(entry: Entry) {
      entry.every = random.pick(latePeriods);
    },
  };

  function shelve(ways: readonly (keyof typeof shelvings)[]): void {
    before = structuredClone(file);
    const busy = new Set(resetting(0));
    for (const entry of file.entries) if (busy.has(entry.jid)) shelvings[random.pick(ways)](entry);
    counts.shelve = (counts.shelve ?? 0) + 1;
    notePlaces();
  }

  function draw(): string {
    const chance = random();
    if (chance < 0.1) return 'undo';
    if (chance < 0.15) return 'replaceInstance';
    if (chance < 0.25) return 'putBack';
    return chance < 0.3 ? 'enable' : random.pick(often);
  }

  return {
    get file() {
      return file;
    },
    places,
    counts,
    make() {
      const kind = draw();
      if (kind === 'undo') undo();
      else {
        before = structuredClone(file);
        kinds[kind]?.(targets());
      }
      counts[kind] = (counts[kind] ?? 0) + 1;
      notePlaces();
      return kind;
    },
    shelve: () => shelve(['disable', 'remove', 'late']),
    disable: () => shelve(['disable']),
    restore() {
      restoreFile(file);
      notePlaces();
    },
    settle() {
      settleFile(file);
      notePlaces();
    },
  };
}
