/** In a program that has an OpenTelemetry SDK of its own, the library's spans go there. */
import { expect, it } from 'vitest';
import { runProgram } from '../support/cli.ts';
import { startCollector } from '../support/collector.ts';

/** Prints the spans that the program's own SDK gets. */
const program = `import { context, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { flushTraces, inSpan, traceOf, tracing, withTrace } from './dist/tracing/spans.js';

const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
provider.register();
const link = 'https://chat.whatsapp.com/ABC123XYZ';
const parent = provider.getTracer('program').startSpan('its own');
const stored = await context.with(trace.setSpan(context.active(), parent), () =>
  inSpan('ours', { attributes: { group: link, 'url.template': '/api', reason: null } }, async (span) => {
    span.event('told', { why: link });
    return withTrace({ id: 'vip.1' });
  }),
);
const error = new TypeError('failed for ' + link);
await inSpan('failing', {}, () => Promise.reject(error)).catch(() => {});
// Stored by anybody, in any form.
for (const context of ['{', 'null', '7', traceOf(stored), traceOf({ tm: 7 }), traceOf(null)]) {
  tracing().produce('links', 'publish', context, { group: 'vip' }).end(error);
}
await flushTraces();
const { traceId } = parent.spanContext();
for (const { name, attributes, events } of exporter.getFinishedSpans()) {
  console.log(JSON.stringify({ name, attributes, events: events.map(({ attributes }) => attributes) }));
}
console.log(JSON.stringify({ continued: exporter.getFinishedSpans().map((span) => span.spanContext().traceId === traceId) }));
`;

it('uses the SDK that was started before, and starts none', async () => {
  const collector = await startCollector();
  const own = runProgram(program, { env: collector.env });
  expect(await own.ended, own.stderr).toBe(0);
  expect(collector.requests).toEqual([]);
  const [ours, failing, ...others] = own.json();
  const redacted = 'https://chat.whatsapp.com/[redacted]';
  expect(ours).toEqual({
    name: 'ours',
    attributes: { 'invite_rotator.group': redacted, 'url.template': '/api' },
    events: [{ 'invite_rotator.why': redacted }],
  });
  expect(failing).toEqual({ name: 'failing', attributes: { 'error.type': 'TypeError' }, events: [] });
  expect(others.at(-1)).toEqual({ continued: [true, false, false, false, false, true, false, false] });
});
