/**
 * The jobs on the queue. Planner and settler bring back the two that follow from the indexes; any other lost job is
 * gone. A queued job stays on the queue even if its reason no longer applies.
 */
import type { Work } from '../../src/rotation/types.ts';
import { slideIntoWindow } from '../../src/schedule/schedule.ts';
import type { Model, Step } from './model.ts';
import { nameOfJob, type State, verification } from './state.ts';

/** `nextOf` in `planner.ts`: what the index says is due. Scheduled rotations keep to their window, reads do not. */
export function dueWork({ record, nowMs }: State, { protocol }: Model): Work | null {
  const { entry, dueAt, readDueAt } = record;
  const looksAt = protocol.nextDueAt(record);
  if (looksAt === null || looksAt > nowMs) return null;
  const isOpen = entry === null || slideIntoWindow(entry.schedule, nowMs) === nowMs;
  if (dueAt !== null && dueAt <= nowMs && isOpen) return { kind: 'scheduled', dueAt };
  return readDueAt !== null && readDueAt <= nowMs ? verification : null;
}

/** `tick` in `planner.ts` and `settle` in `settler.ts`: what the indexes say is due has a job. */
export function release(state: State, model: Model): State {
  const settlesAt = model.protocol.settleAt(state.record);
  const work = dueWork(state, model);
  const settling = settlesAt !== null && settlesAt <= state.nowMs ? withJob(state, verification) : state;
  return work === null ? settling : withJob(settling, work);
}

function withJob(state: State, work: Work): State {
  return isQueued(state, work) ? state : { ...state, jobs: [...state.jobs, work] };
}

export function isQueued({ jobs }: State, work: Work): boolean {
  const name = nameOfJob(work);
  return jobs.some((job) => nameOfJob(job) === name);
}

/** The job has ended. */
export function withoutJob(state: State, work: Work): State {
  if (!isQueued(state, work)) return state;
  const name = nameOfJob(work);
  return { ...state, jobs: state.jobs.filter((job) => nameOfJob(job) !== name) };
}

/** A worker that runs it carries on, but no other starts it again. */
export function lossesOf(state: State): Step[] {
  const { left } = state;
  if (left.losses === 0) return [];
  const poorer = { ...state, left: { ...left, losses: left.losses - 1 } };
  return state.jobs.map((job) => {
    return { says: `the job "${nameOfJob(job)}" is lost`, to: withoutJob(poorer, job), usual: false };
  });
}
