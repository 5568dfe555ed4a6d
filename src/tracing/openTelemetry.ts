/**
 * Opens OpenTelemetry. If the program that uses the library has started an SDK of its own, spans go there. Otherwise an
 * SDK is started here, which reads the `OTEL_*` variables.
 *
 * The packages are optional dependencies, and are loaded by this function only. Loading waits for nothing, so that the
 * first span needs no preparation.
 */
import { createRequire } from 'node:module';
import type { Context, Attributes as OtelAttributes, Span as OtelSpan } from '@opentelemetry/api';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node';
import { redactSecrets } from '../log.ts';
import { version } from '../version.ts';
import type { TraceSettings } from './environment.ts';
import { filterTelemetry } from './jobSpans.ts';
import type { Attributes, Span, TraceListener, Tracing } from './spans.ts';

const name = 'invite-rotator';

export function openTracing(
  { protocol }: TraceSettings,
  listener: TraceListener,
): Tracing | { readonly problem: string } {
  try {
    const packages = load();
    const flush = hasProvider(packages.api) ? async () => {} : startSdk(packages, protocol, listener);
    return createTracing(packages, flush);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'MODULE_NOT_FOUND') return { problem: redactSecrets(message) };
    return { problem: 'OpenTelemetry is not installed; install the optional dependencies of invite-rotator' };
  }
}

function load() {
  const require = createRequire(import.meta.url);
  return {
    require,
    api: require('@opentelemetry/api') as typeof import('@opentelemetry/api'),
    bullmq: require('bullmq-otel') as typeof import('bullmq-otel'),
  };
}

type Packages = ReturnType<typeof load>;

/** Whether an SDK was started before. The API's own provider has no tracers until then. */
function hasProvider({ trace }: Packages['api']): boolean {
  const provider = trace.getTracerProvider() as { getDelegateTracer?(name: string): unknown };
  return provider.getDelegateTracer === undefined || provider.getDelegateTracer(name) !== undefined;
}

/** Returns how to send the spans that have ended. It resolves when the collector has them, those sent before included. */
function startSdk(
  { require }: Packages,
  protocol: TraceSettings['protocol'],
  listener: TraceListener,
): () => Promise<void> {
  const resources = require('@opentelemetry/resources') as typeof import('@opentelemetry/resources');
  const sdk = require('@opentelemetry/sdk-trace-node') as typeof import('@opentelemetry/sdk-trace-node');
  const { OTLPTraceExporter } = (
    protocol === 'http/json'
      ? require('@opentelemetry/exporter-trace-otlp-http')
      : require('@opentelemetry/exporter-trace-otlp-proto')
  ) as { readonly OTLPTraceExporter: new () => SpanExporter };
  const own = resources.resourceFromAttributes({ 'service.name': name, 'service.version': version });
  // Of the detectors, only the environment's: that of the process would show the arguments, which may be links.
  const asked = resources.detectResources({ detectors: [resources.envDetector] });
  const exporter = watch(new OTLPTraceExporter(), listener);
  const provider = new sdk.NodeTracerProvider({
    resource: resources.defaultResource().merge(own).merge(asked),
    spanProcessors: [new sdk.BatchSpanProcessor(exporter)],
  });
  provider.register();
  return async () => {
    try {
      await provider.forceFlush();
    } finally {
      // The provider does not wait for a batch that its timer has passed to the exporter.
      await exporter.forceFlush?.();
    }
  };
}

/** Reports when the collector stops taking spans, and when it takes them again. */
function watch(exporter: SpanExporter, listener: TraceListener): SpanExporter {
  let isDown = false;
  return {
    export(spans: ReadableSpan[], done) {
      exporter.export(spans, (result) => {
        const failed = result.code !== 0;
        if (failed && !isDown) listener.failed(`the collector takes no traces: ${describe(result.error)}`);
        if (!failed && isDown) listener.recovered();
        isDown = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => await exporter.forceFlush?.(),
  };
}

/** Without the collector's words. */
function describe(error: (Error & { readonly code?: number | string }) | undefined): string {
  if (error === undefined) return 'unknown';
  return typeof error.code === 'number' ? `HTTP ${error.code}` : (error.code ?? redactSecrets(error.message));
}

function createTracing({ api, bullmq }: Packages, flush: () => Promise<void>): Tracing {
  const { context: contexts, trace, ROOT_CONTEXT } = api;
  const tracer = trace.getTracer(name, version);
  const telemetry = filterTelemetry(new bullmq.BullMQOtel({ tracerName: name, version }), ROOT_CONTEXT);
  const { contextManager } = telemetry;
  const contextOf = (stored: string | null): Context =>
    stored === null ? ROOT_CONTEXT : contextManager.fromMetadata(ROOT_CONTEXT, stored);
  return {
    telemetry,
    flush,
    currentSpan: () => spanOf(trace.getActiveSpan() ?? trace.wrapSpanContext(api.INVALID_SPAN_CONTEXT), api),
    context: () => contextManager.getMetadata(contexts.active()) || null,
    async inSpan(called, { kind, attributes = {} }, run) {
      const number = kind === 'client' ? api.SpanKind.CLIENT : api.SpanKind.INTERNAL;
      const span = tracer.startSpan(called, { kind: number, attributes: clean(attributes) });
      try {
        return await contexts.with(trace.setSpan(contexts.active(), span), () => run(spanOf(span, api)));
      } catch (error) {
        spanOf(span, api).fail(nameOf(error));
        throw error;
      } finally {
        span.end();
      }
    },
    produce(queue, operation, stored, attributes) {
      const from = contextOf(stored);
      const sent = { 'messaging.operation.name': operation, 'messaging.operation.type': 'send' };
      const where = { 'messaging.system': 'bullmq', 'messaging.destination.name': queue };
      const span = tracer.startSpan(
        `${operation} ${queue}`,
        { kind: api.SpanKind.PRODUCER, attributes: clean({ ...where, ...sent, ...attributes }) },
        from,
      );
      return {
        context: contextManager.getMetadata(trace.setSpan(from, span)),
        end(failure) {
          if (failure !== undefined) spanOf(span, api).fail(nameOf(failure));
          span.end();
        },
      };
    },
  };
}

function spanOf(span: OtelSpan, { SpanStatusCode }: Packages['api']): Span {
  return {
    set: (attributes) => void span.setAttributes(clean(attributes)),
    event: (called, attributes = {}) => void span.addEvent(called, clean(attributes)),
    fail(type) {
      span.setAttribute('error.type', type);
      span.setStatus({ code: SpanStatusCode.ERROR });
    },
  };
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'Error';
}

function clean(attributes: Attributes): OtelAttributes {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([key, value]) => {
      if (value === null || value === undefined) return [];
      return [
        [key.includes('.') ? key : `invite_rotator.${key}`, typeof value === 'string' ? redactSecrets(value) : value],
      ];
    }),
  );
}
