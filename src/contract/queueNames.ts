/** The BullMQ queues of an installation. Their names are part of the contract. */

/** The queue of one-offs and released rotations of one instance. */
export function rotationsQueue(instance: string): string {
  return `rotations-${instance}`;
}

/** The instance of such a queue. */
export function instanceOfQueue(queue: string): string {
  return queue.replace(/^rotations-/, '');
}

/** The queue of the repeatable job `plan`. Internal, and separate from the others so that no gate ever stops it. */
export const plannerQueue = 'rotation-planner';

/** The planner's queue, then the instances', then the results queues. */
export function queuesOf(installation: {
  readonly instances: readonly { readonly name: string }[];
  readonly results: { readonly queues: readonly string[] };
}): string[] {
  const { instances, results } = installation;
  return [plannerQueue, ...instances.map(({ name }) => rotationsQueue(name)), ...results.queues];
}
