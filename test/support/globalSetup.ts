/** One throw-away Redis for all tests (REDIS_URL, if set, is used instead), on a free port, without persistence. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { findServer } from '../../src/localRedis/findServer.ts';
import { startRedisServer } from './redisServer.ts';

declare module 'vitest' {
  interface ProvidedContext {
    redisUrl: string;
    /** Path of a server binary, for tests that run a server of their own. */
    redisServer: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  reachLoopbackDirectly();
  const binary = await findServer({ env: process.env, say: (line) => console.error(line) });
  project.provide('redisServer', binary);
  if (process.env.REDIS_URL) {
    project.provide('redisUrl', process.env.REDIS_URL);
    return async () => {};
  }
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-test-redis-'));
  const server = await startRedisServer({ binary, folder });
  project.provide('redisUrl', server.url);
  // A second Ctrl-C ends vitest without its teardown.
  const leaveNothing = () => {
    server.child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', leaveNothing);
  return async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
    process.off('exit', leaveNothing);
  };
}

/** Where this machine uses a proxy, the servers of the tests must not be sought behind it. */
function reachLoopbackDirectly(): void {
  const { env } = process;
  if (![env.http_proxy, env.HTTP_PROXY, env.https_proxy, env.HTTPS_PROXY].some(Boolean)) return;
  env.no_proxy = [env.no_proxy ?? env.NO_PROXY, '127.0.0.1', 'localhost'].filter(Boolean).join(',');
}
