/** A stand-in, a file with one group and the environment for the built program, on the tests' Redis. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject, onTestFinished } from 'vitest';
import { startStandIn } from '../../dev/standin/standIn.ts';
import { testRedis } from './redis.ts';

export const jid = '120363406289005073@g.us';
export const token = 'secret-token-of-this-test';

/** The JID of the group `g<n>`. */
export const jidOf = (n: number) => `1203630000${String(n).padStart(8, '0')}@g.us`;

interface CliRigOptions {
  /** How many groups there are beside `vip`: `g1`, `g2`, ... */
  readonly more?: number;
  /** The requests that the API and the file allow in 2 s. Default: 100 a minute. */
  readonly limit?: number;
}

/** `yaml`: the rest of the file beside its groups. The first is `vip`. None is due within the first hour. */
export async function makeCliRig(yaml: string, { more = 0, limit }: CliRigOptions = {}) {
  const { prefix, redis, keys } = testRedis();
  const groups = Array.from({ length: more }, (_, i) => ({ id: `g${i + 1}`, jid: jidOf(i + 1) }));
  groups.unshift({ id: 'vip', jid });
  const standIn = await startStandIn({
    instances: ['bot'],
    tokens: [{ token }],
    groups,
    ...(limit === undefined ? {} : { limit: { limit, perMs: 2_000 } }),
  });
  const rateLimit = limit === undefined ? '' : `, rateLimit: { max: ${limit}, per: 2s, reserve: 1 }`;
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-cli-'));
  onTestFinished(async () => {
    await standIn.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'rotation.yaml');
  writeFileSync(
    file,
    `api: { baseUrl: "${standIn.url}", timeout: 5s, settleTime: 6s }
instances: [{ name: bot, tokenEnv: TOKEN${rateLimit} }]
groups: [${groups.map((group) => `{ id: ${group.id}, identifier: ${group.jid}, every: 1h, firstSeen: wait }`).join(', ')}]
redis: { prefix: ${prefix} }
${yaml}`,
  );
  const env = { REDIS_URL: inject('redisUrl'), TOKEN: token, ROTATOR_CONFIG: file };
  return { standIn, folder, file, env, redis, prefix, keys };
}
