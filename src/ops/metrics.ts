/**
 * Metrics for Prometheus. Labels are instances, results queues and fixed words only, so their number is bounded by the
 * file, never by groups or requests. Counts and readiness are of this process; gauges of state are read from Redis, so
 * every process shows the same.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type GroupStatus, groupStates, type Status } from '../status/status.ts';
import type { Observer } from './observer.ts';
import { type Health, judge, readinessReasons } from './readiness.ts';

const prefix = 'invite_rotator_';

export interface Metrics {
  readonly observer: Observer;
  readonly contentType: string;
  /** In Prometheus's text format. `status`: null while Redis cannot be read; then the gauges of state are left out. */
  render(status: Status | null, health: Health): Promise<string>;
}

export function createMetrics(version: string): Metrics {
  const registers = [new Registry()];
  const [registry] = registers as [Registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `${prefix}${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `${prefix}${name}`, help, labelNames, registers });
  collectDefaultMetrics({ register: registry, prefix });

  const rotations = counter('rotations_total', 'Rotations that ended, by how', ['instance', 'outcome']);
  const calls = counter('api_calls_total', 'Calls to RyzeAPI, by HTTP status or why there was none', [
    'instance',
    'endpoint',
    'status',
  ]);
  const durations = new Histogram({
    name: `${prefix}api_call_duration_seconds`,
    help: 'From sending a call to its answer',
    labelNames: ['endpoint'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 75],
    registers,
  });
  const drifts = counter('drift_total', 'Links found changed by somebody else', ['instance']);
  const unverified = counter('unverified_reads_total', 'Reads of a link that failed, or were shown no link', [
    'instance',
  ]);
  const reloads = counter('config_reloads_total', 'Times the configuration file was taken over, or refused', [
    'outcome',
  ]);

  const info = gauge('build_info', 'Always 1', ['version', 'node']);
  const ready = gauge('ready', '1 while this process does its work, as on /readyz');
  const unready = gauge('unready', '1 for each reason why it does not', ['reason']);
  const redisTrouble = gauge('redis_trouble', '1 while Redis refuses commands or is not reachable', ['reason']);
  const configBroken = gauge('config_broken', '1 while an edit of the file is broken and the one before in force');
  const tickAge = gauge('tick_age_seconds', "Since the planner's last tick, as this process knows it");
  const budgetUsed = gauge('budget_used', "Requests that count against the token's limit now", ['instance']);
  const budgetLimit = gauge('budget_limit', "The token's limit", ['instance']);
  const gates = gauge('gate_closed', '1 while the instance is paused', ['instance', 'reason']);
  const groups = gauge('groups', 'Groups by state', ['instance', 'state']);
  const ages = gauge('oldest_link_age_seconds', 'Age of the oldest link that has a schedule', ['instance']);
  const ratios = gauge('oldest_link_age_periods', 'Of those, the age that is most of its period', ['instance']);
  const queued = gauge('queue_jobs', 'Jobs on the queue of an instance', ['instance', 'state']);
  const paused = gauge('queue_paused', '1 while somebody has paused the queue', ['queue']);
  const outboxes = gauge('outbox_events', 'Events committed and not yet published', ['queue']);
  const results = gauge('results_waiting', 'Events published that no consumer is done with', ['queue']);
  const resultJobs = gauge('results_jobs', 'The same, by how they stand', ['queue', 'state']);
  const states = [budgetUsed, budgetLimit, gates, groups, ages, ratios, queued, paused, outboxes, results, resultJobs];
  info.set({ version, node: process.versions.node }, 1);

  function showHealth(health: Health): void {
    const { ready: isReady, reasons } = judge(health);
    ready.set(isReady ? 1 : 0);
    for (const reason of readinessReasons) unready.set({ reason }, reasons.includes(reason) ? 1 : 0);
    redisTrouble.reset();
    if (health.redisTrouble !== null) redisTrouble.set({ reason: health.redisTrouble }, 1);
    configBroken.set(health.configBroken ? 1 : 0);
    // Infinite where there was none yet: an alert on a late planner must not be silent then.
    tickAge.set((health.tickAgeMs ?? Number.POSITIVE_INFINITY) / 1000);
  }

  function show(status: Status): void {
    const byInstance = new Map<string, GroupStatus[]>(status.instances.map(({ instance }) => [instance, []]));
    for (const group of status.groups) byInstance.get(group.instance)?.push(group);
    for (const { instance, budget, gate, queue } of status.instances) {
      if (budget !== null) {
        budgetUsed.set({ instance }, budget.used);
        budgetLimit.set({ instance }, budget.limit);
      }
      if (gate !== null) gates.set({ instance, reason: gate.reason }, 1);
      for (const [state, jobs] of Object.entries(queue)) queued.set({ instance, state }, jobs);
      const own = byInstance.get(instance) ?? [];
      for (const state of groupStates)
        groups.set({ instance, state }, own.filter((group) => group.state === state).length);
      // A group without a schedule may keep its link for ever.
      const aged = own.flatMap(({ linkAgeMs, periodMs }) =>
        linkAgeMs === null || periodMs === null ? [] : [{ linkAgeMs, periodMs }],
      );
      ages.set(
        { instance },
        aged.reduce((most, { linkAgeMs }) => Math.max(most, linkAgeMs / 1000), 0),
      );
      ratios.set(
        { instance },
        aged.reduce((most, { linkAgeMs, periodMs }) => Math.max(most, linkAgeMs / periodMs), 0),
      );
    }
    for (const queue of status.paused) paused.set({ queue }, 1);
    for (const [queue, events] of Object.entries(status.outbox)) outboxes.set({ queue }, events);
    for (const [queue, events] of Object.entries(status.results)) results.set({ queue }, events);
    for (const [queue, counts] of Object.entries(status.resultsByState)) {
      for (const [state, events] of Object.entries(counts)) resultJobs.set({ queue, state }, events);
    }
  }

  return {
    observer: {
      call(instance, endpoint, status, seconds) {
        calls.inc({ instance, endpoint, status });
        durations.observe({ endpoint }, seconds);
      },
      rotation: (instance, outcome) => rotations.inc({ instance, outcome }),
      drift: (instance) => drifts.inc({ instance }),
      unverified: (instance) => unverified.inc({ instance }),
      reload: (outcome) => reloads.inc({ outcome }),
    },
    contentType: registry.contentType,
    async render(status, health) {
      showHealth(health);
      for (const one of states) one.reset();
      if (status !== null) show(status);
      return await registry.metrics();
    },
  };
}
