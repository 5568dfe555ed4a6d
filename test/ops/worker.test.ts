/** The HTTP server of a running worker. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { logged, run } from '../support/cli.ts';
import { jid, makeCliRig, token } from '../support/cliRig.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { freePort } from '../support/redisServer.ts';
import { until } from '../support/until.ts';

async function started() {
  const port = await freePort();
  const rig = await makeCliRig(`ops: { port: ${port} }`);
  const proxy = await createFaultProxy(Number(new URL(rig.env.REDIS_URL).port));
  onTestFinished(() => proxy.close());
  const env = { ...rig.env, REDIS_URL: `redis://127.0.0.1:${proxy.port}` };
  const worker = run(['start'], { env });
  await logged(worker, 'started');
  const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
  const ready = async () => {
    const response = await get('/readyz');
    return { status: response.status, ...((await response.json()) as { reasons: string[]; details: string[] }) };
  };
  await until('it to be ready', async () => (await ready()).status === 200);
  return { ...rig, env, proxy, worker, port, get, ready };
}

it('counts its work, and reveals no secret', async () => {
  const { get, env, standIn, worker, file } = await started();
  await logged(worker, 'link.adopted');
  const codes = [standIn.codeOf(jid)];
  expect(await run(['rotate', 'vip', '--wait'], { env }).ended).toBe(0);
  codes.push(standIn.codeOf(jid));
  const leaked = `https://chat.whatsapp.com/${codes[1]} is public, ${codes[1]}`;
  await run(['rotate', 'vip', '--wait', '--reason', leaked], { env }).ended;
  const paths = ['/healthz', '/readyz', '/metrics', '/', '/api/status', '/groups/vip', '/api/groups/vip'];
  const pages = await Promise.all(paths.map(async (path) => (await get(path)).text()));
  const [, , metrics = '', , status = '', page = '', detail = ''] = pages;
  const value = (line: string) =>
    Number(
      metrics
        .split('\n')
        .find((one) => one.startsWith(`${line} `))
        ?.split(' ')[1],
    );
  expect(value('invite_rotator_rotations_total{instance="bot",outcome="rotated"}')).toBe(2);
  expect(value('invite_rotator_api_calls_total{instance="bot",endpoint="resetLink",status="200"}')).toBe(2);
  expect(value('invite_rotator_api_call_duration_seconds_count{endpoint="resetLink"}')).toBe(2);
  expect(value('invite_rotator_budget_limit{instance="bot"}')).toBe(100);
  expect(value('invite_rotator_groups{instance="bot",state="fresh"}')).toBe(1);
  expect(value('invite_rotator_tick_age_seconds')).toBeLessThan(60);
  expect(value('invite_rotator_api_calls_total{instance="bot",endpoint="info",status="200"}')).toBe(1);
  expect(value('invite_rotator_results_waiting{queue="invite-links"}')).toBe(3);
  expect(JSON.parse(status)).toMatchObject({ groups: [{ group: 'vip', state: 'fresh', periodMs: 3_600_000 }] });
  const hash = createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 12);
  expect(value(`invite_rotator_config_info{hash="${hash}"}`)).toBe(1);
  expect(JSON.parse(status)).toMatchObject({ workers: [{ pid: worker.child.pid, config: { hash } }] });
  expect(page).toContain('rotated on request');
  const why = 'https://chat.whatsapp.com/[redacted] is public, [redacted]';
  expect(JSON.parse(detail)).toMatchObject({
    group: 'vip',
    history: [{ requestReason: why }, {}, { reason: 'adopted' }],
  });
  codes.push(standIn.codeOf(jid));
  for (const text of [...pages, worker.stdout]) {
    for (const secret of [token, ...codes]) expect(text).not.toContain(secret);
  }
});

it('is not ready while Redis is unreachable or the worker is stopping, and says why', async () => {
  const { ready, proxy, worker, standIn, env } = await started();
  await proxy.refuse();
  await until('it to notice', async () => (await ready()).reasons.includes('redis'));
  await proxy.heal();
  await until('it to be ready again', async () => (await ready()).status === 200);
  standIn.faults.next({ kind: 'slow', ms: 4_500 });
  run(['rotate', 'vip'], { env });
  await until('the call', () => standIn.log.all.length === 1);
  worker.child.kill('SIGTERM');
  await logged(worker, 'stopping');
  expect(await ready()).toMatchObject({ status: 503, reasons: ['stopping'] });
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(1);
});

it('stops at once despite an idle connection, such as browsers open ahead of time', async () => {
  const { worker, port } = await started();
  const silent = connect(port, '127.0.0.1');
  silent.on('error', () => {});
  onTestFinished(() => void silent.destroy());
  await once(silent, 'connect');
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
});

it('reports an invalid edit, and continues', async () => {
  const { ready, file, worker, get } = await started();
  const good = readFileSync(file, 'utf8');
  writeFileSync(file, good.replace('groups:', 'gruops:'));
  worker.child.kill('SIGHUP');
  await logged(worker, 'config.kept');
  expect(await ready()).toMatchObject({ status: 200, details: ['config_broken'] });
  expect(await (await get('/metrics')).text()).toContain('invite_rotator_config_reloads_total{outcome="broken"} 1');
});

it('works without its HTTP server if the address is in use', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as { port: number };
  onTestFinished(() => void taken.close());
  const { env } = await makeCliRig(`ops: { port: ${port} }`);
  const worker = run(['start'], { env });
  await logged(worker, 'started');
  expect(await logged(worker, 'ops.failed')).toMatchObject({ msg: expect.stringContaining('is in use; set ops.port') });
  expect(await run(['rotate', 'vip', '--wait'], { env }).ended).toBe(0);
});
