import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { configuredRedis } from '../../src/commands/redisTarget.ts';
import type { RedisConfig, RedisServers } from '../../src/config/config.ts';
import { describeTarget } from '../../src/redis/target.ts';

const none: RedisConfig = { prefix: 'bull', servers: null };
const given = (servers: RedisServers): RedisConfig => ({ prefix: 'bull', servers });
const at = (url: string) => given({ kind: 'single', url, password: null });
const sentinels = [
  { host: 's1', port: 26_379 },
  { host: 's2', port: 26_380 },
];

describe('which Redis', () => {
  it("is REDIS_URL, else the file's, else none", () => {
    const file = at('redis://file:6379');
    expect(configuredRedis(file, { REDIS_URL: 'redis://env:6379/2' })).toEqual({ url: 'redis://env:6379/2' });
    expect(configuredRedis(file, {})).toEqual({ url: 'redis://file:6379' });
    expect(configuredRedis(none, {})).toBeNull();
    expect(configuredRedis(none, { REDIS_URL: 'unix:///run/my%20redis.sock' })).toEqual({ path: '/run/my redis.sock' });
  });

  it('uses TLS also if the scheme is in capital letters', () => {
    expect(configuredRedis(none, { REDIS_URL: 'REDISS://h:1' })).toEqual({ url: 'rediss://h:1' });
  });

  it('is in the file that REDIS_URL_FILE names, read again each time', () => {
    const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-target-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'redis-url');
    for (const host of ['h1', 'h2']) {
      writeFileSync(path, `redis://:s3cret@${host}\n`);
      expect(configuredRedis(at('redis://file'), { REDIS_URL_FILE: path })).toEqual({ url: `redis://:s3cret@${host}` });
    }
  });

  it.each([
    [{ REDIS_URL: '' }, /^REDIS_URL is empty: remove it, or set it to an address such as redis:\/\/host:6379$/],
    [{ REDIS_URL: ' ' }, /^REDIS_URL is empty/],
    [{ REDIS_URL_FILE: '' }, /^REDIS_URL_FILE is empty/],
    [{ REDIS_URL_FILE: '/dev/null' }, /^\/dev\/null \(REDIS_URL_FILE\) is empty/],
    [{ REDIS_URL_FILE: '/no/such/file' }, /^cannot read \/no\/such\/file \(REDIS_URL_FILE\): ENOENT$/],
    [{ REDIS_URL: 'redis://h', REDIS_URL_FILE: '/x' }, /^REDIS_URL and REDIS_URL_FILE are both set: remove one$/],
    [{ REDIS_URL: '', REDIS_URL_FILE: '/x' }, /^REDIS_URL and REDIS_URL_FILE are both set: remove one$/],
  ])('is never guessed: %j', (env, message) => {
    expect(() => configuredRedis(none, env)).toThrow(message);
    expect(() => configuredRedis(at('redis://file'), env)).toThrow(message);
  });

  it.each(['localhost:6379', 'http://h', 'redis:', 's3cret'])('is rejected if it is not an address: %s', (text) => {
    const message = 'is not an address such as redis://host:6379';
    expect(() => configuredRedis(none, { REDIS_URL: text })).toThrow(`REDIS_URL ${message}`);
    expect(() => configuredRedis(at(text), {})).toThrow(`redis.url ${message}`);
    expect(() => configuredRedis(none, { REDIS_URL: text })).not.toThrow('s3cret');
  });

  it('gets its passwords from the sources in the file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-target-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'password');
    writeFileSync(path, 's3cret\n');
    const password = { name: 'password', from: 'file', path } as const;
    expect(configuredRedis(given({ kind: 'single', url: 'redis://h', password }), {})).toEqual({
      url: 'redis://h',
      password: 's3cret',
    });
    const sentinelPassword = { name: 'sentinelPassword', from: 'env', variable: 'SPW' } as const;
    const login = { username: 'me', password, tls: true };
    const config = given({ kind: 'sentinel', sentinels, name: 'mymaster', sentinelPassword, login });
    expect(configuredRedis(config, { SPW: 'other' })).toEqual({
      sentinels,
      name: 'mymaster',
      sentinelPassword: 'other',
      login: { username: 'me', password: 's3cret', tls: true },
    });
    expect(() => configuredRedis(config, {})).toThrow(
      'redis: the environment variable SPW (sentinelPasswordEnv) is not set',
    );
  });

  it('is REDIS_URL also if the file names Sentinels or a cluster', () => {
    const login = { password: null, tls: false };
    const config = given({ kind: 'cluster', nodes: sentinels, login });
    expect(configuredRedis(config, {})).toEqual({ cluster: sentinels, login: { tls: false } });
    expect(configuredRedis(config, { REDIS_URL: 'redis://env:1' })).toEqual({ url: 'redis://env:1' });
  });

  it('is described without user and password', () => {
    expect(describeTarget({ url: 'rediss://user:s3cret@host:6380/1?tls=true' })).toBe('rediss://host:6380/1');
    expect(describeTarget({ path: 'data/redis.sock' })).toBe('data/redis.sock');
    const login = { username: 'me', password: 's3cret', tls: false };
    expect(describeTarget({ sentinels, name: 'mymaster', login })).toBe('mymaster of the Sentinels s1:26379, s2:26380');
    expect(describeTarget({ cluster: sentinels, login })).toBe('the cluster of s1:26379, s2:26380');
  });
});
