/** Traces of the built program, as a collector gets them. */
import { Queue } from 'bullmq';
import { expect, inject, it, onTestFinished } from 'vitest';
import { rotationsQueue } from '../../src/contract/queueNames.ts';
import { logged, run, runProgram } from '../support/cli.ts';
import { jid, jidOf, makeCliRig, token } from '../support/cliRig.ts';
import { startCollector } from '../support/collector.ts';
import { until } from '../support/until.ts';

const yaml = 'ops: off\nretry: { attempts: 2, baseDelay: 100ms }\nverify: off\n';
const producersTrace = '0af7651916cd43dd8448eb211c80319c';
const producersSpan = 'b7ad6b7169203331';
/** Prints each event. Requests a rotation at the first SIGUSR2, and ends at SIGTERM. */
const program = `import { consumeLinks, createRotationClient } from './dist/index.js';
const options = { connection: process.env.REDIS_URL, prefix: process.env.PREFIX };
const handler = ({ group, type }) => console.log(JSON.stringify({ group, type }));
const client = createRotationClient(options);
process.once('SIGUSR2', () => client.rotate('g1'));
const site = consumeLinks({ ...options, queue: 'site', handler });
process.once('SIGTERM', () => Promise.all([site.close(), client.close()]).then(() => process.exit(0)));
`;
const calls = ['wait for slot', 'POST /api/group/resetLink/{instance}', 'commit'];

it('leads from the push of a one-off to its consumers in one trace, without a link, a code or a token', async () => {
  const collector = await startCollector();
  const rig = await makeCliRig(`${yaml}results: { queues: [invite-links, site] }\n`, { more: 3 });
  const { standIn, prefix } = rig;
  const secrets = [token, ...[jid, jidOf(1), jidOf(2), jidOf(3)].map((of) => standIn.codeOf(of))];
  const env = { ...rig.env, ...collector.env, OTEL_EXPORTER_OTLP_HEADERS: 'api-key=of%20the%20collector' };
  const worker = run(['start'], { env });
  const consumer = run(['consume'], { env: { ...env, OTEL_SERVICE_NAME: 'printer' } });
  const site = runProgram(program, { env: { ...env, PREFIX: prefix } });
  const handled = () => site.json().map(({ group, type }) => `${String(group)} ${String(type)}`);
  await logged(worker, 'started');
  await until('the adopted links', () => handled().length === 4);

  // By a link, by the library, and by a producer of its own whose trace began elsewhere.
  const pushed = run(['rotate', standIn.linkOf(jid), '--wait'], { env });
  standIn.faults.next({ kind: 'cut', effect: true }, { endpoint: 'reset', jid: jidOf(1) });
  site.child.kill('SIGUSR2');
  const queue = new Queue(rotationsQueue('bot'), { connection: { url: inject('redisUrl') }, prefix });
  onTestFinished(() => queue.close());
  const quoted = `Not authorized (must be admin): https://chat.whatsapp.com/${standIn.codeOf(jidOf(2))} ${standIn.codeOf(jidOf(2))} ${token}`;
  const refusal = { success: false, error: { message: quoted } };
  standIn.faults.next(
    { kind: 'answer', status: 403, body: refusal, effectAfterMs: null },
    { endpoint: 'reset', jid: jidOf(2) },
    9,
  );
  const metadata = JSON.stringify({ traceparent: `00-${producersTrace}-${producersSpan}-01` });
  await queue.add('rotate', { group: 'g2' }, { telemetry: { metadata } });
  // What is not W3C context is ignored.
  for (const broken of ['{', 'null', '{"traceparent":1}']) {
    await queue.add('rotate', { group: 'g3' }, { telemetry: { metadata: broken } });
  }
  expect(await pushed.ended).toBe(0);
  await queue.add('rotate', { group: `https://chat.whatsapp.com/${secrets[1]}?x` }, { jobId: `of ${secrets[1]}` });
  await until(
    () => `every event; there are: ${handled().join(', ')}`,
    () => ['vip', 'g1', 'g3'].every((group) => handled().includes(`${group} link.rotated`)),
  );
  await until('the failure of g2', () => consumer.json().find(({ type }) => type === 'rotation.failed'));
  await until(
    'no job left',
    async () => (await queue.getJobCountByTypes('wait', 'prioritized', 'active', 'delayed')) === 0,
  );
  for (const one of [consumer, site, worker]) one.child.kill('SIGTERM');
  expect(await Promise.all([consumer.ended, site.ended, worker.ended])).toEqual([0, 0, 0]);

  const paths = (traceId = '') =>
    collector.spans.filter((span) => span.traceId === traceId).map((span) => collector.pathTo(span).join(' > '));
  const push = 'request rotation > add rotations-bot.rotate';
  const roots = collector.named('request rotation');
  const ofVip = paths(roots.find(({ attributes }) => attributes['invite_rotator.group'] === 'vip')?.traceId);
  const job = `${push} > process rotations-bot`;
  const published = ['invite-links', 'site'].map((name) => `${job} > commit > publish ${name}`);
  expect(ofVip.sort()).toEqual(
    [
      ...['request rotation', push, job, ...calls.map((name) => `${job} > ${name}`), ...published],
      ...[`${published[0]} > process invite-links`, `${published[1]} > process site`],
      `${published[1]} > process site > handle link.rotated`,
    ].sort(),
  );
  // A lost answer: the read-back is part of the trace.
  const ofG1 = paths(roots.find(({ attributes }) => attributes['invite_rotator.group'] === 'g1')?.traceId);
  expect(ofG1).toContain(`${job} > GET /api/group/info/{instance}`);
  expect(ofG1).toContain(`${job} > commit > publish site > process site > handle link.rotated`);
  // The producer's own span was sent by the producer. Each run of the job is a span beside the first.
  const runs = collector.spans.filter(({ parentId }) => parentId === producersSpan);
  expect(runs.length).toBeGreaterThan(1);
  expect(runs.map(({ name, traceId }) => [name, traceId])).toEqual(
    runs.map(() => ['process rotations-bot', producersTrace]),
  );
  expect(runs.at(-1)?.attributes).toMatchObject({ 'invite_rotator.group': 'g2', 'error.type': 'not_admin' });
  expect(paths(producersTrace)).toContain(
    '? > process rotations-bot > commit > publish invite-links > process invite-links',
  );
  const refused = collector
    .named('POST /api/group/resetLink/{instance}')
    .find(({ attributes }) => attributes['http.response.status_code'] === 403);
  expect(refused).toMatchObject({
    kind: 3,
    failed: true,
    attributes: { 'error.type': 'not_admin', 'server.address': '127.0.0.1' },
  });
  // A job whose context is broken starts a trace too.
  const ofG3 = collector
    .named('process rotations-bot')
    .filter(({ attributes, parentId }) => attributes['invite_rotator.group'] === 'g3' && parentId === null);
  expect(ofG3.length).toBeGreaterThanOrEqual(3);
  // Scheduled work starts traces of its own.
  const released = collector.named('release rotations-bot');
  expect(new Set(released.map(({ traceId }) => traceId)).size).toBe(released.length);
  expect(released.map(({ parentId }) => parentId)).toEqual(released.map(() => null));
  expect(collector.spans.filter(({ name }) => name.includes('rotation-planner'))).toEqual([]);

  expect(new Set(collector.spans.map(({ service }) => service['service.name']))).toEqual(
    new Set(['invite-rotator', 'printer']),
  );
  expect(collector.requests.find(({ headers }) => headers['api-key'] === 'of the collector')?.url).toBe('/v1/traces');
  const sent = collector.requests.map(({ body }) => body).join('\n');
  secrets.push(...[jid, jidOf(1), jidOf(3)].map((of) => standIn.codeOf(of)));
  expect([...secrets, 'chat.whatsapp.com'].filter((secret) => sent.includes(secret))).toEqual([]);
});

it('keeps the trace of an event that a crash leaves unpublished', async () => {
  const collector = await startCollector();
  const rig = await makeCliRig(yaml);
  const env = { ...rig.env, ...collector.env };
  const first = run(['start'], { env });
  await logged(first, 'started');
  await until('the adopted link', () => rig.redis.exists(`${rig.prefix}:invite-links:meta`));
  // No event can be published until the worker is dead.
  const meta = await rig.redis.hgetall(`${rig.prefix}:invite-links:meta`);
  await rig.redis.multi().del(`${rig.prefix}:invite-links:meta`).set(`${rig.prefix}:invite-links:meta`, '').exec();
  expect(await run(['rotate', 'vip', '--wait'], { env }).ended).toBe(0);
  const root = await until('the trace', () => collector.named('request rotation')[0]);
  await until('the commit', () => collector.named('commit').find(({ traceId }) => traceId === root.traceId));
  first.child.kill('SIGKILL');
  await first.ended;
  const [entry = ''] = await rig.redis.lrange(rig.keys.outbox('invite-links'), -1, -1);
  expect(JSON.parse(entry)).toMatchObject({ type: 'link.rotated', tm: expect.stringContaining(root.traceId) });
  await rig.redis.multi().del(`${rig.prefix}:invite-links:meta`).hset(`${rig.prefix}:invite-links:meta`, meta).exec();
  const second = run(['start'], { env });
  const published = await until('the event', () =>
    collector.named('publish invite-links').find(({ traceId, failed }) => traceId === root.traceId && !failed),
  );
  expect(collector.pathTo(published).at(-2)).toBe('commit');
  second.child.kill('SIGTERM');
  expect(await second.ended).toBe(0);
  const queue = new Queue('invite-links', { connection: { url: inject('redisUrl') }, prefix: rig.prefix });
  onTestFinished(() => queue.close());
  const jobs = await queue.getJobs(['wait']);
  expect(jobs.map(({ data }) => Object.keys(data as object).includes('tm'))).toEqual([false, false]);
});

it('ends a command only when the spans that were sent before have arrived', async () => {
  const collector = await startCollector({ status: 503 });
  const rig = await makeCliRig(yaml);
  const worker = run(['start'], { env: rig.env });
  await logged(worker, 'link.adopted');
  // A command that waits soon notices that a queue is paused, and ends.
  worker.child.kill('SIGSTOP');
  const command = run(['rotate', 'vip', '--wait'], { env: { ...rig.env, ...collector.env } });
  await until('the spans', () => collector.requests.length > 0);
  // The exporter tries again in a second, and the link is there before.
  collector.answer(200);
  worker.child.kill('SIGCONT');
  expect(await command.ended).toBe(0);
  expect(collector.named('request rotation').map(({ failed }) => failed)).toEqual([false]);
});
