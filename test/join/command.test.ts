/** `invite-rotator join`, built, as a process of its own. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { registryRig } from '../groups/registryRig.ts';
import { logged, type Run, run } from '../support/cli.ts';
import { jid, makeCliRig } from '../support/cliRig.ts';
import { freePort } from '../support/redisServer.ts';
import { until } from '../support/until.ts';
import { linkOf, request } from './joinRig.ts';

async function makeJoinRig(settings: string) {
  const rig = await makeCliRig(`join: { ${settings} }`);
  const groups = registryRig({ ...rig, url: rig.env.REDIS_URL });
  await groups.sync(`{ id: vip, identifier: ${jid} }`);
  await groups.adopt('vip', 'CODE1');
  const { TOKEN: _, ...env } = rig.env;
  return { ...rig, groups, env };
}

const urlOf = async (command: Run) => String((await logged(command, 'join.listening')).url);

it('redirects without a token, shows new titles, and exits with 0 at SIGTERM', async () => {
  const { env, file, groups } = await makeJoinRig('port: 0, publicUrl: https://example.org');
  const command = run(['join'], { env });
  const url = await urlOf(command);
  expect(await request(url, '/join/vip')).toMatchObject({ status: 302, headers: { location: linkOf('CODE1') } });
  await groups.reset('vip', 'CODE2');
  await until('the new link', async () => (await request(url, '/join/vip')).headers.location === linkOf('CODE2'));

  const titleNow = async () => /<h1>(.*)<\/h1>/.exec((await request(url, '/groups/vip')).body.toString())?.[1];
  expect(await titleNow()).toBe('vip');
  writeFileSync(file, readFileSync(file, 'utf8').replace('id: vip,', 'id: vip, title: Our customers,'));
  command.child.kill('SIGHUP');
  await until('the new title', async () => (await titleNow()) === 'Our customers');
  writeFileSync(file, 'groups: 1');
  command.child.kill('SIGHUP');
  await logged(command, 'config.kept');
  expect(await titleNow()).toBe('Our customers');

  command.child.kill('SIGTERM');
  expect(await command.ended).toBe(0);
  expect(command.stderr).toBe('');
  // The links that it knows are served while Redis does not answer for a second, as on a busy machine.
  const isAway = (event: unknown) => event === 'join.from_memory' || event === 'join.fresh';
  const events = command.json().flatMap(({ event }) => (isAway(event) ? [] : [event]));
  expect(events).toEqual([
    'join.listening',
    'config.reloaded',
    ...Array(command.json().filter(({ event }) => event === 'config.broken').length).fill('config.broken'),
    'config.kept',
    'stopping',
    'stopped',
  ]);
  expect(command.stdout).not.toMatch(/CODE\d|chat\.whatsapp/);
});

it('names the port that is in use, in one line', async () => {
  const port = await freePort();
  const taken = createServer().listen(port, '127.0.0.1');
  onTestFinished(() => void taken.close());
  const { env } = await makeJoinRig(`port: ${port}`);
  const command = run(['join'], { env });
  expect(await command.ended).toBe(1);
  expect(command.stderr).toBe(
    `cannot serve the stable addresses: 127.0.0.1:${port} is in use; set join.port in the file\n`,
  );
});

it('waits for Redis, says so once, and exits with 0 at SIGINT', async () => {
  const port = await freePort();
  const { env } = await makeJoinRig('port: 0');
  const command = run(['join'], { env: { ...env, REDIS_URL: `redis://127.0.0.1:${port}` } });
  const url = await urlOf(command);
  expect((await request(url, '/join/vip')).status).toBe(503);
  const [away, ...others] = command.json().filter(({ event }) => event === 'join.from_memory');
  expect(others).toEqual([]);
  expect(away?.msg).toBe(
    `Redis cannot be read: cannot reach Redis at redis://127.0.0.1:${port}: connection refused; until it can, visitors are asked to come back`,
  );
  expect(command.json().map(({ event }) => event)).toContain('join.no_public_url');
  command.child.kill('SIGINT');
  expect(await command.ended).toBe(0);
});
