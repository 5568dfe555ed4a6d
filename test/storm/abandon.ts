/**
 * What ends every storm, because whether a broken build is detected must not depend on luck. First a one-off for each group
 * at once, which needs more than the limit: the planner releases no more than that by itself. Then all workers die during
 * resets that take effect, of groups that an edit disables: only the settler repairs that.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoggedRequest } from '../../dev/standin/log.ts';
import { until } from '../support/until.ts';
import { check, type Finding } from './checker.ts';
import { deadLinks } from './deadLinks.ts';
import type { History, Incident } from './history.ts';
import { timeoutMs, workers } from './settings.ts';
import type { Stage } from './stage.ts';

const abandonedResets = 5;
/** How many resets a second suffice for so many to be in flight before the first has timed out. */
const oftenPerS = 8;
/** Longer than a pause of an instance, for which one-offs wait. */
const oneOffsEndMs = 150_000;
/** Longer than any span for which the checker excuses a dead link, with the bound of the promise. */
const foundMs = 150_000;

export interface Abandoned {
  /** The kill of all workers, and the time until one is up again. */
  readonly incidents: readonly Incident[];
  /** Waits until a promise is broken, or every link that these resets made is published. Returns the violations. */
  findings(history: () => Promise<History>): Promise<readonly Finding[]>;
}

/** Resolves when all one-offs are over: their jobs would settle their resets. */
export async function crowd(stage: Stage): Promise<void> {
  const { edits, copies, text, oneOffs } = stage;
  edits.restore();
  await copies.settle(text());
  await oneOffs.crowd();
  await until('the end of all one-offs', () => areOneOffsOver(stage), { withinMs: oneOffsEndMs });
}

export async function abandonResets({ standIn, fleet, edits, copies, text }: Stage): Promise<Abandoned> {
  // For a while after the crowd no group is due. Then calls go one at a time until one is answered, and if the first few
  // timed out, their instance would be paused.
  const startedAt = Date.now();
  const recent = () => {
    const from = Math.max(startedAt, Date.now() - 1_000);
    return standIn.log.all.slice(-100).filter(({ endpoint, begin }) => endpoint === 'reset' && begin >= from);
  };
  await until('frequent resets', () => recent().length >= oftenPerS);
  const since = Date.now();
  standIn.faults.random(({ endpoint }) =>
    endpoint === 'reset' ? { kind: 'silence', effectAfterMs: timeoutMs } : null,
  );
  // A reset from before met another fault, and may have no effect.
  const silent = () =>
    standIn.log.inFlightAt(Date.now()).filter(({ fault, begin }) => fault === 'silence' && begin >= since);
  await until('resets in flight', () => silent().length >= abandonedResets);
  const resets = silent();
  const from = Date.now();
  edits.disable();
  const delivered = copies.settle(text());
  for (let worker = 0; worker < workers; worker++) fleet.kill(worker);
  standIn.faults.random(null);
  await delivered;
  const isAnyUp = () => fleet.urls.length > 0;
  await until('the end of all workers', () => !isAnyUp());
  await until('a new worker', isAnyUp);
  const to = Date.now();
  return {
    incidents: [
      { kind: 'kill', from, to: from },
      { kind: 'noWorker', from, to },
    ],
    findings: (history) => findingsOf(resets, history),
  };
}

/** Whether no worker has a one-off to do. */
async function areOneOffsOver({ oneOffs, edits }: Stage): Promise<boolean> {
  const served = new Set(edits.file.slots.map(({ name }) => `rotations-${name}`));
  const jobs = await oneOffs.jobs();
  return jobs.every(({ state, queue }) => ['completed', 'failed', 'unknown'].includes(state) || !served.has(queue));
}

async function findingsOf(
  resets: readonly LoggedRequest[],
  history: () => Promise<History>,
): Promise<readonly Finding[]> {
  const deadline = Date.now() + foundMs;
  for (;;) {
    const seen = await history();
    const findings = check(seen);
    const published = new Set(deadLinks(seen).flatMap(({ code, over }) => (over ? code : [])));
    const areSettled = resets.every(({ effect }) => effect !== null && published.has(effect.code));
    if (findings.length > 0 || areSettled || Date.now() > deadline) return findings;
    await sleep(1_000);
  }
}
