/** The image's health check: alive means that the worker answers, wherever its pages are and whatever Redis does. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { health } from '../../src/commands/health.ts';
import { logged, run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';
import { createFaultProxy } from '../support/faultProxy.ts';
import { freePort } from '../support/redisServer.ts';

const dockerfile = readFileSync(fileURLToPath(new URL('../../Dockerfile', import.meta.url)), 'utf8');
const [, check = '[]'] = /^HEALTHCHECK .*?CMD (\[.*\])$/m.exec(dockerfile) ?? [];
const [node, program, ...args] = JSON.parse(check) as string[];

it('is healthy on the port in force, also after an edit and while Redis is away', async () => {
  const { env, file } = await makeCliRig('ops: { host: 0.0.0.0, port: 0 }');
  const proxy = await createFaultProxy(Number(new URL(env.REDIS_URL).port));
  onTestFinished(() => proxy.close());
  const worker = run(['start'], { env: { ...env, REDIS_URL: `redis://127.0.0.1:${proxy.port}` } });
  await logged(worker, 'started');
  const { url } = await logged(worker, 'ops.listening');
  await proxy.refuse();
  await logged(worker, 'redis.lost');
  writeFileSync(file, readFileSync(file, 'utf8').replace('port: 0', 'port: 1'));
  expect([node, program]).toEqual(['node', 'dist/cli.js']);
  const healthy = run(args, { env: { ROTATOR_CONFIG: file } });
  expect([await healthy.ended, healthy.stdout, healthy.stderr]).toEqual([0, `${url}/healthz: alive\n`, '']);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  await expect(health({ config: file })).rejects.toThrow('http://127.0.0.1:1/healthz: nothing listens there');
});

it('without a note of a worker, asks where the file says', async () => {
  let status = 200;
  const server = createServer((_request, response) => response.writeHead(status).end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const check = async (ops: string) => await health({ config: (await makeCliRig(`ops: ${ops}`)).file });
  expect(await check('off')).toBe(0);
  expect(await check(`{ host: 0.0.0.0, port: ${port} }`)).toBe(0);
  status = 503;
  await expect(check(`{ port: ${port} }`)).rejects.toThrow(`http://127.0.0.1:${port}/healthz: HTTP 503`);
  const free = await freePort();
  await expect(check(`{ port: ${free} }`)).rejects.toMatchObject({ exitCode: 1 });
});
