/** A command reads only the section `redis` to find Redis. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { loadRedisConfig } from '../../src/config/load.ts';

const single = { kind: 'single', url: 'redis://r:6379', password: null };

async function load(text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-section-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'rotation.yaml');
  writeFileSync(file, text);
  return { file, loaded: await loadRedisConfig(file) };
}

it.each([
  ['a block', 'groups: []\nredis:\n  url: redis://r:6379\n\n# a note\n  prefix: p\nops: off\n'],
  ['on one line, at the end', 'ops: off\nredis: { url: "redis://r:6379", prefix: p }'],
  ['in a file on one line', '{ ops: off, redis: { url: "redis://r:6379", prefix: p } }'],
  ['with a quoted key', '"redis": { url: "redis://r:6379", prefix: p }'],
  ['with an anchor of another section', 'ops: { host: &host "redis://r:6379" }\nredis: { url: *host, prefix: p }\n'],
])('reads the section: %s', async (_what, text) => {
  expect((await load(text)).loaded).toEqual({ ok: true, config: { servers: single, prefix: 'p' } });
});

it('is not affected by a problem elsewhere, or by broken YAML', async () => {
  const config = { servers: single, prefix: 'bull' };
  const wrong = 'groups: [{ id: 1 }]\nredis: { url: "redis://r:6379" }\nevry: 1\n';
  expect((await load(wrong)).loaded).toEqual({ ok: true, config });
  const broken = 'redis: { url: "redis://r:6379" }\ngroups: [}\n';
  expect((await load(broken)).loaded).toEqual({ ok: true, config });
});

it('uses the defaults in a file without the section', async () => {
  expect((await load('groups: []\n')).loaded).toEqual({ ok: true, config: { servers: null, prefix: 'bull' } });
  expect((await load('')).loaded).toEqual({ ok: true, config: { servers: null, prefix: 'bull' } });
});

it('reports a problem of the section at its place', async () => {
  const { file, loaded } = await load('ops: off\nredis:\n  ulr: redis://r:6379\n');
  expect(loaded).toMatchObject({ ok: false, problems: [{ file, line: 3, column: 3, path: 'redis.ulr' }] });
});
