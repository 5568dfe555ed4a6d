/** A running worker whose file is edited: short YAML for its groups, and an edit that is in force when it resolves. */
import { jids, makeRig, type Rig, type RigOptions } from './rig.ts';
import { until } from './until.ts';

export const bot = '{ name: bot, tokenEnv: TOKEN }';
export const bot2 = '{ name: bot2, tokenEnv: TOKEN }';

/** An entry of the file; `n`: which of `jids`, or an invite code. */
export function group(id: string, n: number | string, rest = ''): string {
  const identifier = typeof n === 'number' ? jids[n] : n;
  return `{ id: ${id}, identifier: "${identifier}"${rest} }`;
}

/** Nothing is due before an hour has passed, and nothing is verified. */
export function file(instances: string, ...groups: string[]): string {
  return `
instances: [${instances}]
defaults: { every: 1h, firstSeen: wait }
groups: [${groups.join(', ')}]
verify: off`;
}

export async function started(yaml: string, standIn: NonNullable<RigOptions['standIn']> = {}) {
  const rig = await makeRig({ yaml, standIn });
  const service = await rig.start();
  const count = (event: string) => rig.logged.filter((line) => line.event === event).length;
  /** What SIGHUP does. */
  const reload = async (text: string) => {
    const before = count('config.reloaded');
    rig.edit(text);
    service.reload();
    await until('the edit to be in force', () => count('config.reloaded') > before);
  };
  return { rig, service, reload, count };
}

/** Requests a one-off. Resolves when the server has received its reset, which it answers `ms` later. */
export async function inFlight(rig: Rig, id: string, n: number, ms = 900): Promise<{ asked: Promise<unknown> }> {
  const resets = () => rig.standIn.log.of({ endpoint: 'reset', jid: jids[n]! }).length;
  const before = resets();
  rig.standIn.faults.next({ kind: 'slow', ms }, { endpoint: 'reset', jid: jids[n]! });
  const asked = rig.ask('bot', { group: id });
  asked.catch(() => {});
  await until('the call', () => resets() > before);
  return { asked };
}
