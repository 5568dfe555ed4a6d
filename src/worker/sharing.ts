/**
 * Shares the instances among the live workers: this one serves those for which it is chosen (`groups/servers.ts`), so its
 * memory and connections do not grow with the instances of others. It is an optimisation: a worker in doubt serves more,
 * since the group's record decides what is done.
 *
 * Reconciles on a timer. A worker that dies is noticed within about ten seconds, one that stops within two. An instance
 * whose jobs make no progress is served by every worker that has it, until its queue is empty.
 */
import { isDeepStrictEqual } from 'node:util';
import type { InstanceConfig } from '../config/config.ts';
import type { WorkerFiles, WorkerNote } from '../groups/files.ts';
import { createMembership, digestOf, type NotedServer } from '../groups/members.ts';
import { serversOf } from '../groups/servers.ts';
import { plural } from '../status/format.ts';
import type { Base } from './base.ts';
import { watchNeglect } from './neglect.ts';
import type { Workers } from './workers.ts';

/** What a worker says of its part in the sharing. */
type Serves = Pick<WorkerNote, 'serves'>;

interface SharingDependencies {
  readonly files: Pick<WorkerFiles, 'worker' | 'member'>;
  readonly workers: Pick<Workers, 'serve'>;
  /** What this worker says about itself, with `serves` of this module. */
  readonly describe: () => WorkerNote;
  /** Others took this worker for dead, so they may have removed groups that only its file has. */
  readonly onExpelled?: () => void;
}

export function createSharing(base: Base, { files, workers, describe, onExpelled }: SharingDependencies) {
  const { config, tokens, log } = base;
  const neglect = watchNeglect(base);
  let others: readonly NotedServer[] = [];
  /** Those of this worker's instances whose tokens cannot be read. */
  let unable: readonly string[] = [];
  let neglected: ReadonlySet<string> = new Set();
  /** Others may rely on this worker. */
  let isServing = false;
  let reported: readonly unknown[] = [];

  const names = () => config().instances.map(({ name }) => name);
  const membership = createMembership(base, files, describe, names, onExpelled);

  function chosen(): readonly InstanceConfig[] {
    const self = { worker: files.worker, instances: new Set(names()), unable: new Set(unable) };
    const servers = [self, ...others];
    const isMine = ({ name }: InstanceConfig) =>
      neglected.has(name) || serversOf(name, servers).some(({ worker }) => worker === self.worker);
    return config().instances.filter(isMine);
  }

  function serve(): void {
    const mine = chosen();
    workers.serve(mine);
    const counts = { served: mine.length, instances: config().instances.length, others: others.length };
    if (isDeepStrictEqual(reported, Object.values(counts))) return;
    reported = Object.values(counts);
    const beside = counts.others === 0 ? '' : `, beside ${plural(counts.others, 'other worker')}`;
    log.info(
      { event: 'instances.shared', ...counts },
      `serves ${counts.served} of ${plural(counts.instances, 'instance')}${beside}`,
    );
  }

  async function beat(): Promise<void> {
    unable = tokens.unreadable(config().instances);
    others = await membership.beat();
  }

  return {
    serves: (): Serves => (isServing ? { serves: { instances: digestOf(names()), unable: [...unable] } } : {}),
    /** Learns which other workers there are, before this one serves anything. */
    prepare: beat,
    /** Serves its share. The others learn of that only afterwards, so no instance is without a worker meanwhile. */
    start(): void {
      isServing = true;
      serve();
    },
    /** After an edit: serves its share of the instances in force. */
    apply: serve,
    /** Announces that this worker lives, and serves its share as the others are now. */
    async look(): Promise<void> {
      await beat();
      if (isServing) serve();
    },
    /** Serves the instances of others whose jobs make no progress. */
    async lookForNeglected(): Promise<void> {
      const mine = new Set(chosen().map(({ name }) => name));
      const found = await neglect.look(
        names().filter((name) => !mine.has(name) || neglected.has(name)),
        neglected,
      );
      for (const instance of found) {
        if (neglected.has(instance)) continue;
        log.warn(
          { event: 'instance.neglected', instance },
          `${instance}: its jobs make no progress with the workers that serve it: this worker serves it as well`,
        );
      }
      neglected = found;
      if (isServing) serve();
    },
    /** Lets the others take over at once. */
    async withdraw(): Promise<void> {
      isServing = false;
      await membership.beat();
    },
  };
}
