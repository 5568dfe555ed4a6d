/** A stand-in, a file with one group and the environment for the built program, on the tests' Redis. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject, onTestFinished } from 'vitest';
import { startStandIn } from '../../dev/standin/standIn.ts';
import { testRedis } from './redis.ts';

export const jid = '120363406289005073@g.us';
export const token = 'secret-token-of-this-test';

/** `yaml`: the rest of the file beside its group, `vip`, which is not due within the first hour. */
export async function makeCliRig(yaml: string) {
  const { prefix, redis, keys } = testRedis();
  const standIn = await startStandIn({ instances: ['bot'], tokens: [{ token }], groups: [{ jid }] });
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-cli-'));
  onTestFinished(async () => {
    await standIn.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'rotation.yaml');
  writeFileSync(
    file,
    `api: { baseUrl: "${standIn.url}", timeout: 1s, settleTime: 2s }
instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: ${jid}, every: 1h, firstSeen: wait }]
redis: { prefix: ${prefix} }
${yaml}`,
  );
  const env = { REDIS_URL: inject('redisUrl'), TOKEN: token, ROTATOR_CONFIG: file };
  return { standIn, folder, file, env, redis, prefix, keys };
}
