/** In a program that has an OpenTelemetry SDK of its own, the library's spans go there. */
import { context, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { expect, it } from 'vitest';
import { flushTraces, inSpan, traceOf, tracing, withTrace } from '../../src/tracing/spans.ts';
import { startCollector } from '../support/collector.ts';

it('uses the SDK that was started before, and starts none', async () => {
  const collector = await startCollector();
  Object.assign(process.env, collector.env);
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  provider.register();
  const link = 'https://chat.whatsapp.com/ABC123XYZ';
  const parent = provider.getTracer('program').startSpan('its own');
  const stored = await context.with(trace.setSpan(context.active(), parent), () =>
    inSpan('ours', { attributes: { group: link, 'url.template': '/api', reason: null } }, (span) => {
      span.event('told', { why: link });
      return Promise.resolve(withTrace({ id: 'vip.1' }));
    }),
  );
  const error = new TypeError(`failed for ${link}`);
  await expect(inSpan('failing', {}, () => Promise.reject(error))).rejects.toBe(error);
  // Stored by anybody, in any form.
  for (const context of ['{', 'null', '7', traceOf(stored), traceOf({ tm: 7 }), traceOf(null)]) {
    tracing()?.produce('links', 'publish', context, { group: 'vip' }).end(error);
  }
  await flushTraces();
  expect(collector.requests).toEqual([]);

  const [ours, failing, ...published] = exporter.getFinishedSpans();
  const { traceId } = parent.spanContext();
  expect(ours?.parentSpanContext?.spanId).toBe(parent.spanContext().spanId);
  expect(ours?.attributes).toEqual({
    'invite_rotator.group': 'https://chat.whatsapp.com/[redacted]',
    'url.template': '/api',
  });
  expect(ours?.events[0]?.attributes).toEqual({ 'invite_rotator.why': 'https://chat.whatsapp.com/[redacted]' });
  expect(failing).toMatchObject({ status: { code: 2 }, attributes: { 'error.type': 'TypeError' }, events: [] });
  expect(traceOf(stored)).toContain(traceId);
  expect(published.map((span) => span.spanContext().traceId === traceId)).toEqual([
    false,
    false,
    false,
    true,
    false,
    false,
  ]);
});
