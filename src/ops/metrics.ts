/**
 * Metrics for Prometheus. Labels are instances, results queues and fixed words only, so their number is bounded by the
 * file, never by groups or requests. Counts are of this process; gauges of state are read from Redis, so every process
 * shows the same.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type GroupStatus, groupStates, type Status } from '../status/status.ts';
import type { Observer } from './observer.ts';

const prefix = 'invite_rotator_';

export interface Metrics {
  readonly observer: Observer;
  readonly contentType: string;
  /** In Prometheus's text format. `status`: null while Redis cannot be read; then the gauges are left out. */
  render(status: Status | null): Promise<string>;
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
  const reloads = counter('config_reloads_total', 'Times the configuration file was taken over, or refused', [
    'outcome',
  ]);

  const info = gauge('build_info', 'Always 1', ['version', 'node']);
  const budgetUsed = gauge('budget_used', "Requests that count against the token's limit now", ['instance']);
  const budgetLimit = gauge('budget_limit', "The token's limit", ['instance']);
  const gates = gauge('gate_closed', '1 while the instance is left alone', ['instance', 'reason']);
  const groups = gauge('groups', 'Groups by state', ['instance', 'state']);
  const ages = gauge('oldest_link_age_seconds', 'Age of the oldest link', ['instance']);
  const ratios = gauge('oldest_link_age_periods', 'The same, in periods of its group', ['instance']);
  const queued = gauge('queue_jobs', 'Jobs on the queue of an instance', ['instance', 'state']);
  const outboxes = gauge('outbox_events', 'Events committed and not yet published', ['queue']);
  const results = gauge('results_waiting', 'Events that no consumer has taken yet', ['queue']);
  const tickAge = gauge('tick_age_seconds', "Since the planner's last tick");
  const states = [budgetUsed, budgetLimit, gates, groups, ages, ratios, queued, outboxes, results];
  info.set({ version, node: process.versions.node }, 1);

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
      const aged = own.flatMap(({ linkAgeMs, periodMs }) => (linkAgeMs === null ? [] : [{ linkAgeMs, periodMs }]));
      ages.set(
        { instance },
        aged.reduce((most, { linkAgeMs }) => Math.max(most, linkAgeMs / 1000), 0),
      );
      ratios.set(
        { instance },
        aged.reduce((most, { linkAgeMs, periodMs }) => Math.max(most, linkAgeMs / periodMs), 0),
      );
    }
    for (const [queue, events] of Object.entries(status.outbox)) outboxes.set({ queue }, events);
    for (const [queue, events] of Object.entries(status.results)) results.set({ queue }, events);
  }

  return {
    observer: {
      call(instance, endpoint, status, seconds) {
        calls.inc({ instance, endpoint, status });
        durations.observe({ endpoint }, seconds);
      },
      rotation: (instance, outcome) => rotations.inc({ instance, outcome }),
      drift: (instance) => drifts.inc({ instance }),
      reload: (outcome) => reloads.inc({ outcome }),
    },
    contentType: registry.contentType,
    async render(status) {
      for (const one of states) one.reset();
      const tickAgeMs = status?.lastTickAgeMs ?? null;
      tickAge.set(tickAgeMs === null ? Number.NaN : tickAgeMs / 1000);
      if (status !== null) show(status);
      return await registry.metrics();
    },
  };
}
