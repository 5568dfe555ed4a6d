/** A model of the configuration file that edits change. */
import {
  finalPeriod,
  instanceNames,
  jids,
  type Load,
  period,
  queues,
  settleMs,
  timeoutMs,
  verifyMs,
} from './settings.ts';

/** One of the two instances in the file. Its name changes when it is replaced. */
export interface Slot {
  name: string;
  readonly tokenEnv: string;
}

/** An entry of `groups`. */
export interface Entry {
  /** The id. */
  group: string;
  jid: string;
  slot: 0 | 1;
  every: string;
  enabled: boolean;
  /** Whether the entry is in the file. */
  present: boolean;
}

/** The periods that edits choose from. At the end every group has one of `soonPeriods`. */
export const soonPeriods = ['5s', '10s'];
export const latePeriods = ['20s', '40s', '10m'];

export interface FileModel {
  readonly slots: readonly [Slot, Slot];
  readonly entries: readonly Entry[];
}

/** `sharedToken`: both instances use the token of one account. */
export function newFile(sharedToken: boolean): FileModel {
  const entries = jids.map((jid, i): Entry => {
    return { group: `g${i}`, jid, slot: i % 4 === 0 ? 1 : 0, every: period, enabled: true, present: true };
  });
  const [first = '', second = ''] = instanceNames;
  const slots = [
    { name: first, tokenEnv: 'TOKEN' },
    { name: second, tokenEnv: sharedToken ? 'TOKEN' : 'OTHER_TOKEN' },
  ] as const;
  return { slots, entries };
}

/** Adds and enables every group, with a short period. Other entries stay unchanged, so that their problems stay visible. */
export function restoreFile({ entries }: FileModel): void {
  for (const entry of entries) {
    Object.assign(entry, { present: true, enabled: true });
    if (!soonPeriods.includes(entry.every)) entry.every = period;
  }
}

/** Gives every group a long period, so that nothing is due after the storm. */
export function settleFile({ entries }: FileModel): void {
  for (const entry of entries) entry.every = finalPeriod;
}

export interface FileOptions {
  readonly baseUrl: string;
  readonly verify: boolean;
  readonly load: Load;
}

export function toYaml({ slots, entries }: FileModel, { baseUrl, verify, load }: FileOptions): string {
  const { limit } = load;
  const rateLimit = `{ max: ${limit.max}, per: ${limit.perMs}ms, reserve: 10 }`;
  const instances = slots.map(
    ({ name, tokenEnv }) => `  - { name: ${name}, tokenEnv: ${tokenEnv}, rateLimit: ${rateLimit} }`,
  );
  const groups = entries
    .filter(({ present }) => present)
    .map(({ group, jid, slot, every, enabled }) => {
      const where = `instance: ${slots[slot].name}, every: ${load.every ?? every}, enabled: ${enabled}`;
      return `  - { id: ${group}, identifier: "${jid}", ${where} }`;
    });
  return `api: { baseUrl: "${baseUrl}", timeout: ${timeoutMs}ms, settleTime: ${settleMs}ms }
defaults: { firstSeen: rotate }
retry: { attempts: 6, baseDelay: 100ms, maxDelay: 2s }
verify: ${verify ? `{ every: ${verifyMs}ms, share: 100% }` : 'off'}
results: { queues: [${queues.join(', ')}] }
ops: { port: 0 }
instances:\n${instances.join('\n')}
groups:\n${groups.join('\n')}\n`;
}
