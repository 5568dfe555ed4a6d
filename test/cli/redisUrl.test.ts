/** What is wrong with REDIS_URL, or with what listens there, is one line without any part of a password. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, inject, it, onTestFinished } from 'vitest';
import { run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';

async function outcomes(env: Record<string, string>, commands: readonly string[][]) {
  const runs = commands.map((command) => run(command, { env }));
  return await Promise.all(runs.map(async (one) => [await one.ended, one.stderr]));
}

it('refuses an address that cannot be right', async () => {
  const { env, folder } = await makeCliRig('ops: off');
  const { REDIS_URL, ...rest } = env;
  const bad = { ...rest, REDIS_URL: 'redis://:hunter2/100%@127.0.0.1:6379' };
  const encode =
    'REDIS_URL needs its user and password percent-encoded ("#" as %23, "/" as %2F, "@" as %40, "%" as %25), or the password in a file (redis.passwordFile)\n';
  expect(await outcomes(bad, [['start'], ['status']])).toEqual(Array(2).fill([2, encode]));
  const empty = 'REDIS_URL is empty: remove it, or set it to an address such as redis://host:6379\n';
  expect(await outcomes({ ...rest, REDIS_URL: '' }, [['start']])).toEqual([[2, empty]]);
  const file = join(folder, 'redis-url');
  writeFileSync(file, `${REDIS_URL}\n`);
  expect(await outcomes({ ...rest, REDIS_URL_FILE: file }, [['rotate', 'vip']])).toEqual([[0, '']]);
});

it('ends where the server cannot be used as the address says', async () => {
  const { env } = await makeCliRig('ops: off');
  const { port } = new URL(inject('redisUrl'));
  const http = createServer((_request, response) => response.end()).listen(0, '127.0.0.1');
  await once(http, 'listening');
  onTestFinished(() => void http.close());
  const place = `127.0.0.1:${(http.address() as AddressInfo).port}`;
  expect(await outcomes({ ...env, REDIS_URL: `redis://:hunter2@${place}` }, [['start'], ['status']])).toEqual(
    Array(2).fill([
      1,
      `cannot reach Redis at redis://${place}: the server there answers in HTTP, so it is not Redis\n`,
    ]),
  );
  const missing = `redis://127.0.0.1:${port}/16`;
  expect(await outcomes({ ...env, REDIS_URL: missing }, [['start']])).toEqual([
    [1, `cannot reach Redis at ${missing}: it has no database of that number\n`],
  ]);
});
