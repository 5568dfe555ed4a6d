/**
 * A store that reads from Redis and writes only to memory, so that what a registration would do is computed by the code
 * that registers. Later edits see the results of earlier ones.
 */
import { type GroupRecord, newRecord, type Registration } from './record.ts';
import { type Edit, type GroupStore, type Plan, type RecordError, readable } from './store.ts';

export interface DryRun {
  readonly store: GroupStore;
  /** Redis's clock at the first read; 0 if no record was read. */
  nowMs(): number;
  /** As they are in Redis. Only those that an edit has read. */
  recordBefore(recordId: string): GroupRecord | null;
  recordAfter(recordId: string): GroupRecord | null;
  registrationAfter(group: string): Registration | null;
}

/** Records read at the same time. */
const atOnce = 250;

/** `registrations`: all of them. */
export function dryRun(store: GroupStore, registrations: ReadonlyMap<string, Registration | null>): DryRun {
  const before = new Map<string, GroupRecord>();
  const after = new Map<string, GroupRecord>();
  const registered = new Map(registrations);
  /** How often each record and registration was written. */
  const versions = new Map<string, number>();
  let startedAt = 0;

  async function read(recordId: string): Promise<GroupRecord> {
    if (!before.has(recordId)) {
      const { record, nowMs } = await store.load(recordId);
      startedAt ||= nowMs;
      before.set(recordId, record);
    }
    return after.get(recordId) ?? before.get(recordId) ?? newRecord;
  }

  /** Edits run at the same time. One that has read what another has written meanwhile is computed again. */
  async function edit<T>(plan: Plan<T>): Promise<T> {
    for (;;) {
      const seen = new Map<string, number>();
      const note = (key: string) => {
        if (!seen.has(key)) seen.set(key, versions.get(key) ?? 0);
      };
      const change = await plan({
        get nowMs() {
          return startedAt;
        },
        record(recordId) {
          note(`record ${recordId}`);
          return read(recordId);
        },
        registration(group) {
          note(`registration ${group}`);
          return Promise.resolve(registered.get(group) ?? null);
        },
      });
      if ([...seen].some(([key, version]) => (versions.get(key) ?? 0) !== version)) continue;
      apply(change);
      return change.result;
    }
  }

  async function editAll<T>(plans: readonly Plan<T>[]): Promise<(T | RecordError)[]> {
    const results: (T | RecordError)[] = [];
    for (let from = 0; from < plans.length; from += atOnce) {
      results.push(...(await Promise.all(plans.slice(from, from + atOnce).map((plan) => readable(edit(plan))))));
    }
    return results;
  }

  function apply({ records, registrations: changed }: Edit<unknown>): void {
    const written = (key: string) => versions.set(key, (versions.get(key) ?? 0) + 1);
    for (const [recordId, record] of Object.entries(records ?? {})) {
      after.set(recordId, record ?? newRecord);
      written(`record ${recordId}`);
    }
    for (const [group, registration] of Object.entries(changed ?? {})) {
      registered.set(group, registration);
      written(`registration ${group}`);
    }
  }

  return {
    store: {
      ...store,
      edit,
      editAll,
      registrations: () => Promise.resolve(registrations),
      forget: () => Promise.resolve(),
    },
    nowMs: () => startedAt,
    recordBefore: (recordId) => before.get(recordId) ?? null,
    recordAfter: (recordId) => after.get(recordId) ?? before.get(recordId) ?? null,
    registrationAfter: (group) => registered.get(group) ?? null,
  };
}
