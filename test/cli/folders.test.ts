/** The embedded Redis of one file, started in two folders. */
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { logged, run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';

it('names its data and its address, and the same file in another folder is refused or noticed', async () => {
  const { env, folder, file, standIn } = await makeCliRig('ops: off\nverify: off');
  const { REDIS_URL: _, ...rest } = env;
  const [home, other] = [realpathSync(folder), join(folder, 'other')];
  mkdirSync(other);
  const stop = async (worker: ReturnType<typeof run>) => {
    worker.child.kill('SIGTERM');
    expect(await worker.ended).toBe(0);
  };

  const first = run(['start'], { env: rest, cwd: folder });
  const [data, address] = [join(home, 'data'), `unix://${join(home, 'data', 'redis.sock')}`];
  expect(await logged(first, 'redis.embedded')).toMatchObject({
    ...{ data, address },
    msg: `neither REDIS_URL nor the file names a Redis, so one was started here: data in ${data}, address ${address}`,
  });
  await logged(first, 'link.adopted');
  const links = run(['status', '--json'], { env: { ...env, REDIS_URL: address } });
  const second = run(['start'], { env: rest, cwd: other });
  expect([await second.ended, second.stderr]).toEqual([
    1,
    `another invite-rotator runs with ${file}, with its data in ${join(folder, 'data')}: stop it, or set REDIS_URL for both\n`,
  ]);
  expect(await links.ended).toBe(0);
  await stop(first);

  const third = run(['start'], { env: rest, cwd: other });
  const { msg } = await logged(third, 'redis.embedded.mismatch');
  expect(msg).toContain(`the data for ${file} so far is in ${join(folder, 'data')}`);
  await logged(third, 'link.adopted');
  await stop(third);
  expect(standIn.log.all.map(({ endpoint }) => endpoint)).toEqual(['info', 'info']);
});
