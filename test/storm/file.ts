/** What the configuration file says, as an edit changes it. */
import { finalPeriod, instanceNames, jids, limit, period, queues, settleMs, timeoutMs, verifyMs } from './settings.ts';

/** One of the two numbers. Its name changes when it is replaced. */
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
  /** Whether the file has it. */
  present: boolean;
}

/** Periods that groups are given: in the end they must not be longer than the first of these. */
export const soonPeriods = ['5s', '10s'];
export const latePeriods = ['20s', '40s', '10m'];

export interface FileModel {
  readonly slots: readonly [Slot, Slot];
  readonly entries: readonly Entry[];
}

/** `sharedToken`: both numbers are called with one account's token. */
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

/** Every group is there and rotates soon. What nobody has edited stays as it is: what went wrong with it must show. */
export function restoreFile({ entries }: FileModel): void {
  for (const entry of entries) {
    Object.assign(entry, { present: true, enabled: true });
    if (!soonPeriods.includes(entry.every)) entry.every = period;
  }
}

/** Nothing is due for a long time: what the storm ends with. */
export function settleFile({ entries }: FileModel): void {
  for (const entry of entries) entry.every = finalPeriod;
}

export function toYaml({ slots, entries }: FileModel, baseUrl: string, verify: boolean): string {
  const rateLimit = `{ max: ${limit.max}, per: ${limit.perMs}ms, reserve: 10 }`;
  const instances = slots.map(
    ({ name, tokenEnv }) => `  - { name: ${name}, tokenEnv: ${tokenEnv}, rateLimit: ${rateLimit} }`,
  );
  const groups = entries
    .filter(({ present }) => present)
    .map(({ group, jid, slot, every, enabled }) => {
      const where = `instance: ${slots[slot].name}, every: ${every}, enabled: ${enabled}`;
      return `  - { id: ${group}, identifier: "${jid}", ${where} }`;
    });
  return `api: { baseUrl: "${baseUrl}", timeout: ${timeoutMs}ms, settleTime: ${settleMs}ms }
defaults: { firstSeen: rotate }
retry: { attempts: 6, baseDelay: 100ms, maxDelay: 2s }
verify: ${verify ? `{ every: ${verifyMs}ms }` : 'off'}
results: { queues: [${queues.join(', ')}] }
ops: { port: 0 }
instances:\n${instances.join('\n')}
groups:\n${groups.join('\n')}\n`;
}
