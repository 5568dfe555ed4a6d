import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';
import { watchConfig } from '../../src/config/watch.ts';
import { noopObserver } from '../../src/ops/observer.ts';
import { createReload } from '../../src/worker/reload.ts';
import { createTokens } from '../../src/worker/tokens.ts';
import { testLog } from './logged.ts';

const yaml = (more = '', tokenEnv = 'TOKEN') => `
instances: [{ name: bot, tokenEnv: ${tokenEnv} }]
groups: [{ id: vip, identifier: 120363406289005073@g.us, every: 1h }]
${more}`;

async function make() {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-reload-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'rotation.yaml');
  writeFileSync(file, yaml());
  const watched = await watchConfig(file);
  if (!watched.ok) throw new Error('the file is broken');
  const { log, logged } = testLog();
  const reported: string[] = [];
  const applied: [Config, Config][] = [];
  const env: Record<string, string> = { TOKEN: 'token-of-this-test' };
  /** How many more times applying an edit fails. */
  const failing = { times: 0 };
  const tokens = createTokens(env);
  tokens.load(watched.watcher.current);
  const observer = { ...noopObserver, reload: (outcome: string) => reported.push(outcome) };
  const reload = createReload({ watcher: watched.watcher, tokens, observer, log });
  const look = () =>
    reload.look({
      apply: (next, before) => {
        if (failing.times-- > 0) return Promise.reject(new Error('OOM command not allowed'));
        applied.push([next, before]);
        return Promise.resolve();
      },
      onTokensRead: () => Promise.resolve(),
    });
  /** Returns the events that were logged after the one of the request. */
  const edit = async (text: string, { atOnce = true } = {}) => {
    writeFileSync(file, text);
    logged.length = 0;
    if (atOnce) reload.request();
    await look();
    if (atOnce) expect(logged.shift()).toMatchObject({ event: 'config.reread' });
    return logged.map(({ event }) => event);
  };
  return { reload, look, edit, logged, reported, applied, env, failing };
}

it('applies an edit once, with the configuration that it replaces', async () => {
  const { reload, edit, reported, applied } = await make();
  const before = reload.inForce;
  expect(await edit(yaml('verify: off'))).toEqual(['config.reloaded']);
  expect(reload.inForce.verify).toBeNull();
  expect(applied).toEqual([[reload.inForce, before]]);
  expect(await edit(yaml('verify: off'))).toEqual([]);
  expect(reported).toEqual(['applied']);
});

it('keeps the last valid configuration while an edit is broken or lacks its token', async () => {
  const { reload, edit, logged, reported, applied } = await make();
  const before = reload.inForce;
  expect(await edit(yaml('verfy: off'))).toEqual(['config.broken', 'config.kept']);
  expect(reload.isBroken).toBe(true);
  expect(await edit(yaml('verify: off', 'OTHER'))).toEqual(['config.broken', 'config.kept']);
  expect(logged[0]?.msg).toContain('OTHER');
  expect(reload.inForce).toBe(before);
  expect(applied).toEqual([]);
  expect(await edit(yaml())).toEqual(['config.reloaded']);
  expect(reload.isBroken).toBe(false);
  expect(reported).toEqual(['broken', 'broken', 'applied']);
});

it('names the text in force, and since when, after an edit that changes no setting too', async () => {
  const { reload, edit, applied } = await make();
  const { hash } = reload.inForce;
  const since = reload.inForceSince;
  await edit(yaml('verfy: off'));
  await edit(yaml('verify: off', 'OTHER'));
  await edit(yaml('verify: off # a comment', 'OTHER'));
  expect(reload.inForce.hash).toBe(hash);
  await edit(yaml());
  expect(applied).toHaveLength(1);
  await edit(yaml('# a comment'));
  expect(reload.inForce.hash).not.toBe(hash);
  expect(reload.inForceSince).toBeGreaterThanOrEqual(since);
  expect(applied).toHaveLength(1);
});

it('warns about sections that a running worker cannot change, and applies the others', async () => {
  const { reload, edit, logged } = await make();
  const { redis, ops } = reload.inForce;
  const events = await edit(yaml('redis: { prefix: other }\nops: off\nverify: off'));
  expect(events).toEqual(['config.restart', 'config.restart', 'config.reloaded']);
  expect(logged.map(({ msg }) => msg.split(':')[0]).slice(0, 2)).toEqual(['redis', 'ops']);
  expect(reload.inForce).toMatchObject({ redis, ops, verify: null });
});

it('does not apply a file that was just written until somebody requests it', async () => {
  const { reload, edit, applied } = await make();
  expect(await edit(yaml('verify: off'), { atOnce: false })).toEqual([]);
  expect([reload.inForce.verify, applied]).toEqual([expect.anything(), []]);
  expect(await edit(yaml('verify: off'))).toEqual(['config.reloaded']);
});

it('repeats an edit that was only partly applied, with the configuration before it', async () => {
  const { reload, look, edit, applied, failing, reported } = await make();
  const before = reload.inForce;
  failing.times = 2;
  await expect(edit(yaml('verify: off'))).rejects.toThrow('OOM');
  await expect(look()).rejects.toThrow('OOM');
  expect(applied).toEqual([]);
  await look();
  await look();
  expect(applied).toEqual([[reload.inForce, before]]);
  expect(reported).toEqual(['applied']);
});

it('repeats an edit that was only partly applied even if the next one is broken', async () => {
  const { reload, edit, applied, failing } = await make();
  failing.times = 1;
  await expect(edit(yaml('verify: off'))).rejects.toThrow('OOM');
  expect(await edit(yaml('verfy: off'))).toEqual(['config.broken', 'config.kept', 'config.reloaded']);
  expect(applied).toHaveLength(1);
  expect(reload.inForce.verify).toBeNull();
  expect(reload.isBroken).toBe(true);
});

it('applies an edit as soon as its missing tokens are set', async () => {
  const { reload, look, edit, env, applied, logged } = await make();
  await edit(yaml('verify: off', 'OTHER'));
  logged.length = 0;
  await look();
  expect([applied, logged]).toEqual([[], []]);
  env.OTHER = 'another-token-of-this-test';
  await look();
  expect(applied).toHaveLength(1);
  expect([reload.isBroken, reload.inForce.verify]).toEqual([false, null]);
});

it('says that the old token stays in force if the new one is not one', async () => {
  const { reload, look, env, logged } = await make();
  env.TOKEN = 'Bearer another-token-of-this-test';
  reload.request();
  await look();
  const [problem] = logged;
  expect(problem).toMatchObject({
    event: 'config.broken',
    msg: 'instance bot: the environment variable TOKEN (tokenEnv) begins with "Bearer" or "Basic": expected the token alone; the token that was read before stays in force',
  });
});

it('reports once that a token read after a 401 is not one, and keeps the old one', () => {
  const env: Record<string, string> = { TOKEN: 'token-of-this-test' };
  const tokens = createTokens(env);
  const parsed = parseConfig(yaml(), '/rotation.yaml');
  if (!parsed.ok) throw new Error('the file is broken');
  const [bot] = parsed.config.instances;
  tokens.load(parsed.config);
  const problems: string[] = [];
  const refresh = (token: string) => {
    env.TOKEN = token;
    return tokens.refresh(bot!, (problem) => problems.push(problem));
  };
  for (const token of ['"quoted"', '"quoted"', 'two words']) expect(refresh(token)).toBe('token-of-this-test');
  expect(refresh('another-token')).toBe('another-token');
  expect(problems).toEqual([
    expect.stringContaining('is in quotes: remove them; the token that was read before stays in force'),
    expect.stringContaining('white space'),
  ]);
});
