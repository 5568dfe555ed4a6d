/**
 * The spans that BullMQ makes by itself, through its telemetry interface: one for each job that is added and one for each
 * time a job is taken. All else that BullMQ would show is left out: its own upkeep, and every attribute that may hold a
 * link, such as a job's result, its options or the reason of a failure.
 */
import type { Telemetry } from 'bullmq';
import { plannerQueue } from '../contract/queueNames.ts';

type BullMQSpan = ReturnType<Telemetry['tracer']['startSpan']>;
type BullMQAttributes = Parameters<BullMQSpan['setAttributes']>[0];

/** `add <queue>.<job name>` and `process <queue>`. */
const shown = /^(?<operation>add|process) (?<queue>.*)$/s;
const operationTypes: Readonly<Record<string, string>> = { add: 'send', process: 'process' };

/** By BullMQ's name: the name in OpenTelemetry's conventions, or the same one. */
const kept: Readonly<Record<string, string>> = {
  'bullmq.queue.name': 'messaging.destination.name',
  'bullmq.queue.operation': 'messaging.operation.name',
  'bullmq.job.id': 'messaging.message.id',
  'bullmq.job.attempts.made': 'bullmq.job.attempts.made',
  'bullmq.worker.id': 'bullmq.worker.id',
};

/** BullMQ's own ids, those of this library and those of events. A producer may have made an id of anything. */
const knownId =
  /^(?:\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z0-9][a-z0-9_-]{0,63}(?:\.(?:unknown|failed|\d+)){1,3})$/;

/** `telemetry`: that of `bullmq-otel`. `root`: the context without a trace. */
export function filterTelemetry<C>(telemetry: Telemetry<C>, root: C): Telemetry<C> {
  const { tracer, contextManager } = telemetry;
  return {
    tracer: {
      startSpan(name, options, context) {
        const { operation = '', queue = '' } = shown.exec(name)?.groups ?? {};
        if (operation === '' || queue.startsWith(plannerQueue)) return noSpan;
        const span = filterSpan(tracer.startSpan(name, options, context));
        span.setAttributes({ 'messaging.system': 'bullmq', 'messaging.operation.type': operationTypes[operation] });
        return span;
      },
    },
    contextManager: {
      active: () => contextManager.active(),
      with: (context, run) => contextManager.with(context, run),
      root: () => root,
      /** Empty if there is no trace: BullMQ then stores nothing. */
      getMetadata(context) {
        const stored = contextManager.getMetadata(context);
        return stored === '{}' ? '' : stored;
      },
      /** Any producer can have stored anything. */
      fromMetadata(active, stored) {
        try {
          return contextManager.fromMetadata(active, stored);
        } catch {
          return active;
        }
      },
    },
  };
}

const noSpan: BullMQSpan = {
  setSpanOnContext: (context) => context,
  setAttribute() {},
  setAttributes() {},
  addEvent() {},
  recordException() {},
  end() {},
};

function filterSpan(span: BullMQSpan): BullMQSpan {
  return {
    setSpanOnContext: (context) => span.setSpanOnContext(context),
    setAttribute: (key, value) => span.setAttributes(filter({ [key]: value })),
    setAttributes: (attributes) => span.setAttributes(filter(attributes)),
    addEvent: (name) => span.addEvent(name),
    recordException: (error) => {
      const name = typeof error === 'object' && 'name' in error ? error.name : undefined;
      span.setAttribute('error.type', name ?? 'Error');
    },
    end: () => span.end(),
  };
}

function filter(attributes: BullMQAttributes): BullMQAttributes {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([key, value]) => {
      const name = key.startsWith('messaging.') ? key : kept[key];
      if (name === undefined || (key === 'bullmq.job.id' && !knownId.test(String(value)))) return [];
      return [[name, value]];
    }),
  );
}
