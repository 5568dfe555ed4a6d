/**
 * Metrics for Prometheus. Labels are instances, results queues and fixed values only, so the file bounds their number;
 * groups and requests do not. Counters and readiness belong to this process. The other gauges are read from Redis, so
 * every process shows the same values.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { groupStates } from '../groups/states.ts';
import type { StatusOfAll } from '../status/status.ts';
import type { Observer } from './observer.ts';
import { type Health, judge, readinessReasons } from './readiness.ts';

const prefix = 'invite_rotator_';
const outcomes = ['rotated', 'recovered', 'satisfied', 'failed'];
const endpoints = ['resetLink', 'info'];

export interface Metrics {
  readonly observer: Observer;
  readonly contentType: string;
  /**
   * In Prometheus's text format. `status`: null if Redis cannot be read; its gauges are then omitted. `instances`: of the
   * file in force. Their counters exist from the start.
   */
  render(status: StatusOfAll | null, health: Health, instances: readonly string[]): Promise<string>;
}

export function createMetrics(version: string): Metrics {
  const registers = [new Registry()];
  const [registry] = registers as [Registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `${prefix}${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `${prefix}${name}`, help, labelNames, registers });
  const fromStatus: Gauge[] = [];
  const statusGauge = (...args: Parameters<typeof gauge>) => {
    const one = gauge(...args);
    fromStatus.push(one);
    return one;
  };
  collectDefaultMetrics({ register: registry, prefix });

  const rotations = counter('rotations_total', 'Rotations that ended, by outcome', ['instance', 'outcome']);
  const calls = counter('api_calls_total', 'Calls to RyzeAPI, by HTTP status or error code', [
    'instance',
    'endpoint',
    'status',
  ]);
  const durations = new Histogram({
    name: `${prefix}api_call_duration_seconds`,
    help: 'Duration of calls to RyzeAPI',
    labelNames: ['endpoint'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 75],
    registers,
  });
  const drifts = counter('drift_total', 'Links that someone else changed', ['instance']);
  const unverified = counter('unverified_reads_total', 'Reads of a link that failed or returned none', ['instance']);
  const reloads = counter('config_reloads_total', 'Reads of the changed configuration file, by outcome', ['outcome']);

  const info = gauge('build_info', 'Always 1', ['version', 'node']);
  const ready = gauge('ready', '1 while this process is ready, as on /readyz');
  const unready = gauge('unready', '1 for each reason why this process is not ready', ['reason']);
  const redisTrouble = gauge('redis_trouble', '1 while Redis refuses commands or is unreachable', ['reason']);
  const configBroken = gauge('config_broken', '1 while the edited configuration file is invalid');
  const configInfo = gauge('config_info', 'Always 1: the configuration file in force', ['hash']);
  const configLoaded = gauge('config_loaded_timestamp_seconds', 'Since when that file is in force');
  const tickAge = gauge('tick_age_seconds', 'Time since the planner last ran');
  const budgetUsed = statusGauge('budget_used', "Requests that currently count against the token's limit", [
    'instance',
  ]);
  const budgetLimit = statusGauge('budget_limit', "The token's rate limit", ['instance']);
  const gates = statusGauge('gate_closed', '1 while the instance is paused', ['instance', 'reason']);
  const groups = statusGauge('groups', 'Groups by state', ['instance', 'state']);
  const ages = statusGauge('oldest_link_age_seconds', 'Age of the oldest link that has a schedule', ['instance']);
  const ratios = statusGauge('oldest_link_age_periods', 'Highest age of a link, in periods of its group', ['instance']);
  const queued = statusGauge('queue_jobs', "Jobs on the instance's queue, by state", ['instance', 'state']);
  const paused = statusGauge('queue_paused', '1 while the queue is paused', ['queue']);
  const outboxes = statusGauge('outbox_events', 'Events committed but not yet published', ['queue']);
  const results = statusGauge('results_waiting', 'Events published but not yet consumed', ['queue']);
  const resultJobs = statusGauge('results_jobs', 'Events published but not yet consumed, by state', ['queue', 'state']);
  const oldest = statusGauge('results_oldest_age_seconds', 'Age of the oldest event that waits for a consumer', [
    'queue',
  ]);
  const growing = statusGauge(
    'results_growing_seconds',
    'How long events have kept arriving while the oldest one waits for a consumer',
    ['queue'],
  );
  const workers = statusGauge('workers', 'Live workers');
  info.set({ version, node: process.versions.node }, 1);

  function showHealth(health: Health): void {
    const { ready: isReady, reasons } = judge(health);
    ready.set(isReady ? 1 : 0);
    for (const reason of readinessReasons) unready.set({ reason }, reasons.includes(reason) ? 1 : 0);
    redisTrouble.reset();
    if (health.redisTrouble !== null) redisTrouble.set({ reason: health.redisTrouble }, 1);
    configInfo.reset();
    configInfo.set({ hash: health.config.hash }, 1);
    configLoaded.set(health.config.since / 1000);
    configBroken.set(health.configBroken ? 1 : 0);
    // Infinite if it never ran, so that an alert on a late planner fires in that case too.
    tickAge.set((health.tickAgeMs ?? Number.POSITIVE_INFINITY) / 1000);
  }

  for (const outcome of ['applied', 'broken']) reloads.inc({ outcome }, 0);

  /** Without a first value, a rate over the first event is unknown. */
  function startCounters(instances: readonly string[]): void {
    for (const instance of instances) {
      for (const outcome of outcomes) rotations.inc({ instance, outcome }, 0);
      for (const endpoint of endpoints) calls.inc({ instance, endpoint, status: '200' }, 0);
      drifts.inc({ instance }, 0);
      unverified.inc({ instance }, 0);
    }
  }

  function show(status: StatusOfAll): void {
    for (const { instance, budget, gate, queue } of status.instances) {
      if (budget !== null) {
        budgetUsed.set({ instance }, budget.used);
        budgetLimit.set({ instance }, budget.limit);
      }
      if (gate !== null) gates.set({ instance, reason: gate.reason }, 1);
      for (const [state, jobs] of Object.entries(queue)) queued.set({ instance, state }, jobs);
      const own = status.totals.instances[instance];
      // Numbers that are too low would end an alert.
      if (own === undefined || !status.totals.complete) continue;
      for (const state of groupStates) groups.set({ instance, state }, own.states[state]);
      ages.set({ instance }, (own.oldestLinkAgeMs ?? 0) / 1000);
      ratios.set({ instance }, own.oldestLinkAgePeriods);
    }
    for (const [queue, { oldestAgeMs, growingMs }] of Object.entries(status.backlog)) {
      oldest.set({ queue }, (oldestAgeMs ?? 0) / 1000);
      growing.set({ queue }, growingMs / 1000);
    }
    workers.set(status.workers.length);
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
    async render(status, health, instances) {
      showHealth(health);
      startCounters(instances);
      for (const gauge of fromStatus) gauge.reset();
      if (status !== null) show(status);
      return await registry.metrics();
    },
  };
}
