/** The base of a worker's parts, with a configuration file of one instance and one group. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { watchConfig } from '../../src/config/watch.ts';
import type { RedisClient } from '../../src/redis/scripts.ts';
import { createBase } from '../../src/worker/base.ts';
import { createTokens } from '../../src/worker/tokens.ts';
import { testLog } from './logged.ts';

export async function testBase(redis: RedisClient, prefix: string) {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-worker-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'rotation.yaml');
  writeFileSync(
    file,
    `instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: 120363406289005073@g.us, every: 1h }]
redis: { prefix: ${prefix} }`,
  );
  const watched = await watchConfig(file);
  if (!watched.ok) throw new Error('the file is broken');
  const { log, logged } = testLog();
  const base = createBase({ watcher: watched.watcher, tokens: createTokens({}), redis, log });
  return { base, logged };
}
