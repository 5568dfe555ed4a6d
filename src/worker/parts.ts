/** Creates the parts of the worker and connects them. Nothing runs yet; `service.ts` starts and stops them. */
import { hostname } from 'node:os';
import { lastJob, queueKeys } from '../bullmq/counts.ts';
import type { GroupConfig, InstanceConfig } from '../config/config.ts';
import { instanceOfQueue } from '../contract/queueNames.ts';
import type { WorkerNote } from '../groups/files.ts';
import { codeIn } from '../groups/jids.ts';
import { version } from '../version.ts';
import { type Base, type BaseOptions, createBase } from './base.ts';
import { createHealth } from './health.ts';
import { createLeftovers } from './leftovers.ts';
import { oneOffsWithOwnIds } from './ownIds.ts';
import { createPauses } from './pauses.ts';
import { processJob } from './process.ts';
import type { JobDependencies } from './readJob.ts';
import { createReconciler } from './reconcile.ts';
import { createRegistration } from './registerGroups.ts';
import { reportRecovered } from './report.ts';
import { createSharing } from './sharing.ts';
import { createScheduler, createTick, watchTicks } from './ticks.ts';
import { createLimitReports } from './tokens.ts';
import { createWorkers } from './workers.ts';

export interface PartsOptions extends BaseOptions {
  /** Why Redis cannot be used now; null: it can. */
  readonly redisTrouble?: () => string | null;
}

export type Parts = ReturnType<typeof createParts>;

export function createParts({ redisTrouble = () => null, ...options }: PartsOptions) {
  const base = createBase(options);
  const describeSelf = describeWorker(base);
  const describe = (): WorkerNote => ({ ...describeSelf(), ...sharing.serves() });
  const registration = createRegistration({ ...base, describe });
  const leftovers = createLeftovers(base);
  const pauses = createPauses(base);
  const ticks = watchTicks();
  const scheduler = createScheduler(base.plans, ticks, base.log);
  const jobs = jobDependencies(base, { registration, leftovers, pauses });
  const workers = createWorkers(base, {
    processJob: (instance, queue, job, lock) => processJob(jobs, queue, instance, job, lock),
    plan: createTick(base, registration, ticks),
  });
  // If that fails, the reconciler repeats it.
  const onExpelled = () => void registration.register().catch(() => {});
  const sharing = createSharing(base, { files: registration.files, workers, describe, onExpelled });
  const reconciler = createReconciler(base, registration, scheduler);
  const health = createHealth(base, { workers, ticks, paused: reconciler.paused, redisTrouble });
  return { ...base, registration, leftovers, pauses, scheduler, workers, sharing, reconciler, health };
}

/** What this worker says about itself. */
function describeWorker({ reload }: Base): () => WorkerNote {
  const self = { host: hostname(), pid: process.pid, version, startedAt: Date.now() };
  return () => ({ ...self, config: { hash: reload.inForce.hash, since: reload.inForceSince } });
}

/** What jobs use. Everything that an edit of the file may change is read when it is used. */
function jobDependencies(
  { api, config, reload, outbox, tokens, ...base }: Base,
  { registration, leftovers, pauses }: Pick<Parts, 'registration' | 'leftovers' | 'pauses'>,
): JobDependencies {
  const { redis, prefix, log, observer } = base;
  const instanceOf = (name: string): InstanceConfig | null =>
    config().instances.find((instance) => instance.name === name) ?? null;
  return {
    ...base,
    get ryze() {
      return api.ryze;
    },
    get budget() {
      return api.budget;
    },
    get retry() {
      return config().retry;
    },
    get settleTimeMs() {
      return config().api.settleTimeMs;
    },
    instances: () => config().instances.map(({ name }) => name),
    instanceOwner: leftovers.instanceOwner,
    hasPendingEdit: reload.hasPendingEdit,
    async onUnknown(name) {
      const { groups, groupsById, groupsByJid } = config();
      const code = codeIn(name);
      const isNamed = ({ identifier }: GroupConfig) => identifier.kind === 'code' && identifier.code === code;
      if (!groupsById.has(name) && !groupsByJid.has(name) && !groups.some(isNamed)) return false;
      await registration.reconcile();
      return true;
    },
    onLost: (recordId) => registration.registerLost([recordId]),
    resultsQueues: () => config().results.queues,
    lastJobOn: async (queue) => ({ queue, ...(await lastJob(redis, queueKeys({ prefix }, queue))) }),
    uncountedOn: (queue, named) => oneOffsWithOwnIds(redis, base.queueOf(instanceOfQueue(queue)), named),
    callerOf(name) {
      const instance = instanceOf(name);
      return instance === null ? null : { instance, token: tokens.of(name) };
    },
    refreshToken(name) {
      const instance = instanceOf(name);
      if (instance === null) throw new Error(`instance ${name} is not in the configuration file`);
      return tokens.refresh(instance, (problem) => log.error({ event: 'token.invalid', instance: name }, problem));
    },
    onGateClosed: pauses.closed,
    onGateExtended: pauses.extended,
    onGateOpened: pauses.opened,
    onLimitSeen: createLimitReports(log),
    onRecovered: (record, work, request) => reportRecovered({ log, observer }, record, work.kind, request),
    onCommitted: (queues) => void outbox.publishAll(queues),
  };
}
