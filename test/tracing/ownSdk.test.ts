/** In a program that has an OpenTelemetry SDK of its own, the library's spans go there. */
import { Queue } from 'bullmq';
import { expect, inject, it, onTestFinished } from 'vitest';
import { runProgram } from '../support/cli.ts';
import { startCollector } from '../support/collector.ts';
import { eventOf } from '../support/event.ts';
import { testRedis } from '../support/redis.ts';

/** Handles one event, and prints the spans that the program's own SDK gets. */
const program = `import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { consumeLinks } from './dist/index.js';

const exporter = new InMemorySpanExporter();
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
let done;
const handled = new Promise((resolve) => (done = resolve));
const consumer = consumeLinks({ connection: process.env.REDIS_URL, prefix: process.env.PREFIX, queue: 'links', handler: () => done() });
await handled;
await consumer.close();
for (const span of exporter.getFinishedSpans()) {
  console.log(JSON.stringify({ name: span.name, traceId: span.spanContext().traceId }));
}
process.exit(0);
`;

it('uses the SDK that was started before, and starts none', async () => {
  const collector = await startCollector();
  const { prefix } = testRedis();
  const queue = new Queue('links', { connection: { url: inject('redisUrl') }, prefix });
  onTestFinished(() => queue.close());
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const metadata = JSON.stringify({ traceparent: `00-${traceId}-b7ad6b7169203331-01` });
  await queue.add('link.rotated', eventOf('vip', 1), { telemetry: { metadata } });
  const env = { ...collector.env, REDIS_URL: inject('redisUrl'), PREFIX: prefix };
  const own = runProgram(program, { env });
  expect(await own.ended, own.stderr).toBe(0);
  expect(own.json()).toEqual([
    { name: 'handle link.rotated', traceId },
    { name: 'process links', traceId },
  ]);
  expect(collector.requests).toEqual([]);
});
