import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { watchConfig } from '../../src/config/watch.ts';
import { noopObserver } from '../../src/ops/observer.ts';
import { createReloading } from '../../src/worker/reloading.ts';
import { createTokens } from '../../src/worker/tokens.ts';
import { testLog } from './logged.ts';

const yaml = (more = '', tokenEnv = 'TOKEN') => `
instances: [{ name: bot, tokenEnv: ${tokenEnv} }]
groups: [{ id: vip, identifier: 120363406289005073@g.us, every: 1h }]
${more}`;

async function make() {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-reloading-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'rotation.yaml');
  writeFileSync(file, yaml());
  const watched = await watchConfig(file);
  if (!watched.ok) throw new Error('the file is broken');
  const { log, logged } = testLog();
  const told: string[] = [];
  const applied: [Config, Config][] = [];
  const env: Record<string, string> = { TOKEN: 'token-of-this-test' };
  /** Times that applying fails from now on, half-way. */
  const failing = { times: 0 };
  const tokens = createTokens(env);
  tokens.load(watched.watcher.current);
  const reloading = createReloading({
    watcher: watched.watcher,
    tokens,
    observer: { ...noopObserver, reload: (outcome) => told.push(outcome) },
    log,
    apply: (next, before) => {
      if (failing.times-- > 0) return Promise.reject(new Error('OOM command not allowed'));
      applied.push([next, before]);
      return Promise.resolve();
    },
  });
  const edit = async (text: string, { atOnce = true } = {}) => {
    writeFileSync(file, text);
    logged.length = 0;
    await reloading.look(atOnce);
    return logged.map(({ event }) => event);
  };
  return { reloading, edit, logged, told, applied, env, failing };
}

it('takes an edit over once, with what was in force before', async () => {
  const { reloading, edit, told, applied } = await make();
  const before = reloading.inForce;
  expect(await edit(yaml('verify: off'))).toEqual(['config.reloaded']);
  expect(reloading.inForce.verify).toBeNull();
  expect(applied).toEqual([[reloading.inForce, before]]);
  expect(await edit(yaml('verify: off'))).toEqual([]);
  expect(told).toEqual(['applied']);
});

it('keeps what is in force where an edit is broken or its token is missing, until one is right', async () => {
  const { reloading, edit, logged, told, applied } = await make();
  const before = reloading.inForce;
  expect(await edit(yaml('verfy: off'))).toEqual(['config.broken', 'config.kept']);
  expect(reloading.broken).toBe(true);
  expect(await edit(yaml('verify: off', 'OTHER'))).toEqual(['config.broken', 'config.kept']);
  expect(logged[0]?.msg).toContain('OTHER');
  expect(reloading.inForce).toBe(before);
  expect(applied).toEqual([]);
  expect(await edit(yaml())).toEqual(['config.reloaded']);
  expect(reloading.broken).toBe(false);
  expect(told).toEqual(['broken', 'broken', 'applied']);
});

it('says what a running worker cannot change, and changes the rest', async () => {
  const { reloading, edit, logged } = await make();
  const { redis, ops } = reloading.inForce;
  const events = await edit(yaml('redis: { prefix: other }\nops: off\nverify: off'));
  expect(events).toEqual(['config.restart', 'config.restart', 'config.reloaded']);
  expect(logged.map(({ msg }) => msg.split(':')[0]).slice(0, 2)).toEqual(['redis', 'ops']);
  expect(reloading.inForce).toMatchObject({ redis, ops, verify: null });
});

it('leaves a file alone that was just written, until it is asked to take it over', async () => {
  const { reloading, edit, applied } = await make();
  expect(await edit(yaml('verify: off'), { atOnce: false })).toEqual([]);
  expect([reloading.inForce.verify, applied]).toEqual([expect.anything(), []]);
  expect(await edit(yaml('verify: off'))).toEqual(['config.reloaded']);
});

it('applies an edit that failed half-way until it is applied, with what was in force before', async () => {
  const { reloading, edit, applied, failing, told } = await make();
  const before = reloading.inForce;
  failing.times = 2;
  await expect(edit(yaml('verify: off'))).rejects.toThrow('OOM');
  await expect(reloading.look(false)).rejects.toThrow('OOM');
  expect(applied).toEqual([]);
  await reloading.look(false);
  await reloading.look(false);
  expect(applied).toEqual([[reloading.inForce, before]]);
  expect(told).toEqual(['applied']);
});

it('applies an edit that failed half-way though the next one is broken', async () => {
  const { reloading, edit, applied, failing } = await make();
  failing.times = 1;
  await expect(edit(yaml('verify: off'))).rejects.toThrow('OOM');
  expect(await edit(yaml('verfy: off'))).toEqual(['config.broken', 'config.kept', 'config.reloaded']);
  expect(applied).toHaveLength(1);
  expect(reloading.inForce.verify).toBeNull();
  expect(reloading.broken).toBe(true);
});

it('applies an edit once the tokens that it lacked are there', async () => {
  const { reloading, edit, env, applied, logged } = await make();
  await edit(yaml('verify: off', 'OTHER'));
  logged.length = 0;
  await reloading.look(false);
  expect([applied, logged]).toEqual([[], []]);
  env.OTHER = 'another-token-of-this-test';
  await reloading.look(false);
  expect(applied).toHaveLength(1);
  expect([reloading.broken, reloading.inForce.verify]).toEqual([false, null]);
});
