/** The collector's troubles are not the program's, and without `OTEL_*` variables there is no OpenTelemetry at all. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { rotationsQueue } from '../../src/contract/queueNames.ts';
import { readTraceSettings } from '../../src/tracing/environment.ts';
import { logged, run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';
import { startCollector } from '../support/collector.ts';
import { until } from '../support/until.ts';

it('works on while the collector hangs or fails, and reports each outage once', async () => {
  const collector = await startCollector({ status: null });
  const rig = await makeCliRig('ops: off\n');
  const env = { ...rig.env, ...collector.env, OTEL_EXPORTER_OTLP_TIMEOUT: '300' };
  const worker = run(['start'], { env });
  await logged(worker, 'started');
  expect(await run(['rotate', 'vip', '--wait'], { env }).ended).toBe(0);
  await logged(worker, 'traces.failed');
  const queue = new Queue(rotationsQueue('bot'), { connection: { url: rig.env.REDIS_URL }, prefix: rig.prefix });
  onTestFinished(() => queue.close());
  const rotate = async () => {
    const { id = '' } = await queue.add('rotate', { group: 'vip' });
    await until('the job', async () => (await queue.getJobState(id)) === 'completed');
  };
  collector.answer(500);
  await rotate();
  await until('a failure', () => collector.requests.some(({ answer }) => answer === 500));
  collector.answer(200);
  await rotate();
  await logged(worker, 'traces.recovered');
  collector.answer(null);
  await rotate();
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  expect(worker.stderr).toBe('');
  const lines = worker.json().filter(({ event }) => String(event).startsWith('traces.'));
  expect(lines.map(({ event }) => event).slice(0, 2)).toEqual(['traces.failed', 'traces.recovered']);
});

it('loads OpenTelemetry only if the environment asks for traces', async () => {
  const collector = await startCollector();
  const rig = await makeCliRig('ops: off\n');
  const hook = join(rig.folder, 'loaded.mjs');
  writeFileSync(
    hook,
    `import Module from 'node:module';
import { writeFileSync } from 'node:fs';
const resolve = Module._resolveFilename;
Module._resolveFilename = function (name, ...rest) {
  if (name !== process.env.MISSING) return resolve.call(this, name, ...rest);
  throw Object.assign(new Error('not installed'), { code: 'MODULE_NOT_FOUND' });
};
process.on('exit', () => writeFileSync(process.env.LOADED, Object.keys(Module._cache).join('\\n')));\n`,
  );
  const loaded = async (env: Record<string, string>) => {
    const list = join(rig.folder, 'loaded.txt');
    const hooked = { ...rig.env, NODE_OPTIONS: `--import ${pathToFileURL(hook).href}`, LOADED: list };
    const command = run(['rotate', 'vip'], { env: { ...hooked, ...env } });
    expect(await command.ended).toBe(0);
    const paths = readFileSync(list, 'utf8').split('\n');
    expect(paths.some((path) => path.includes('/bullmq/'))).toBe(true);
    return { otel: paths.filter((path) => /opentelemetry|bullmq-otel/.test(path)).length, stderr: command.stderr };
  };
  expect(await loaded({ OTEL_SERVICE_NAME: 'rotations', OTEL_TRACES_SAMPLER: 'always_on' })).toEqual({
    otel: 0,
    stderr: '',
  });
  const grpc = await loaded({ ...collector.env, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' });
  expect(grpc.otel).toBe(0);
  expect(grpc.stderr).toContain('no traces: OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not supported');
  const missing = await loaded({ ...collector.env, MISSING: '@opentelemetry/sdk-trace-node' });
  expect(missing.stderr).toBe(
    'no traces: OpenTelemetry is not installed; install the optional dependencies of invite-rotator\n',
  );
  expect(collector.requests).toEqual([]);
  // OTLP's default protocol.
  const asked = await loaded({ ...collector.env, OTEL_EXPORTER_OTLP_PROTOCOL: '' });
  expect(asked.otel).toBeGreaterThan(10);
  expect(collector.requests[0]?.headers['content-type']).toBe('application/x-protobuf');
});

it.each([
  [{}, null],
  [{ OTEL_SERVICE_NAME: 'rotations', OTEL_TRACES_EXPORTER: '' }, null],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318', OTEL_TRACES_EXPORTER: 'none' }, null],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318', OTEL_SDK_DISABLED: 'TRUE' }, null],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' }, { protocol: 'http/protobuf' }],
  [{ OTEL_TRACES_EXPORTER: 'otlp' }, { protocol: 'http/protobuf' }],
  [
    { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://localhost/v1/traces', OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
    { protocol: 'http/json' },
  ],
  [
    { OTEL_TRACES_EXPORTER: 'console' },
    { problem: 'OTEL_TRACES_EXPORTER: "console" is not supported: use otlp or none' },
  ],
  [
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' },
    { problem: 'OTEL_EXPORTER_OTLP_ENDPOINT: expected an address such as http://localhost:4318' },
  ],
])('reads %j', (env, settings) => {
  expect(readTraceSettings(env)).toEqual(settings);
});
