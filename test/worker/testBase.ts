/** The base of a worker's parts, with a configuration file of one group. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { watchConfig } from '../../src/config/watch.ts';
import type { RedisClient } from '../../src/redis/scripts.ts';
import { createBase } from '../../src/worker/base.ts';
import { createTokens } from '../../src/worker/tokens.ts';
import { testLog } from './logged.ts';

interface TestBaseOptions {
  /** Default: `bot`. The first one has the group. */
  readonly instances?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Settings of the API. */
  readonly api?: string;
}

export async function testBase(
  redis: RedisClient,
  prefix: string,
  { instances = ['bot'], env = {}, api = '' }: TestBaseOptions = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-worker-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'rotation.yaml');
  writeFileSync(
    file,
    `api: { ${api} }
instances: [${instances.map((name) => `{ name: ${name}, tokenEnv: TOKEN }`).join(', ')}]
groups: [{ id: vip, identifier: 120363406289005073@g.us, every: 1h, instance: ${instances[0]} }]
redis: { prefix: ${prefix} }`,
  );
  const watched = await watchConfig(file);
  if (!watched.ok) throw new Error('the file is broken');
  const { log, logged } = testLog();
  const base = createBase({ watcher: watched.watcher, tokens: createTokens(env), redis, log });
  return { base, logged };
}
