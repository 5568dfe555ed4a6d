/** BullMQ's queue of one-offs and released rotations for one instance; part of the contract. */
export function rotationsQueue(instance: string): string {
  return `rotations-${instance}`;
}

/** BullMQ's queue of the repeatable job `plan`; internal, and apart from the others so that no gate ever stops it. */
export const plannerQueue = 'rotation-planner';
