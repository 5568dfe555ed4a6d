/** One parser for every address of Redis. Nothing before the last `@` appears in a message. */
import { describe, expect, it } from 'vitest';
import { describeAddress, parseRedisUrl, socketAddress } from '../../src/config/redisUrl.ts';

const plain = { host: 'h', port: 6_379, tls: false, db: null };

describe('an address', () => {
  it.each([
    ['redis://h', plain],
    ['redis://h:6379/', plain],
    ['  redis://h\n', plain],
    ['REDIS://h', plain],
    ['rediss://h:6380/2', { ...plain, port: 6_380, tls: true, db: 2 }],
    ['REDISS://h', { ...plain, tls: true }],
    ['redis://h?db=2', { ...plain, db: 2 }],
    ['redis://h/2?db=2', { ...plain, db: 2 }],
    ['redis://h/?tls=true', { ...plain, tls: true }],
    ['redis://h?tls=false&family=6', { ...plain, family: 6 }],
    ['redis://h?family=0', plain],
    ['redis://[::1]:7000/1', { ...plain, host: '::1', port: 7_000, db: 1 }],
    ['redis://redis-1.internal_net:6379', { ...plain, host: 'redis-1.internal_net' }],
    ['redis://:p@h', { ...plain, password: 'p' }],
    ['redis://me@h', { ...plain, username: 'me' }],
    ['redis://me:p%40s%2Fs%23%25@h', { ...plain, username: 'me', password: 'p@s/s#%' }],
    ['redis://me:a:b!$&*+,;=~^|"<>{}é@h', { ...plain, username: 'me', password: 'a:b!$&*+,;=~^|"<>{}é' }],
    ['unix:///run/my%20redis.sock', { path: '/run/my redis.sock', db: null }],
    ['unix:/run/redis.sock', { path: '/run/redis.sock', db: null }],
    ['UNIX:///run/a@b.sock?db=3', { path: '/run/a@b.sock', db: 3 }],
    ['unix://me:p%40@/run/redis.sock', { path: '/run/redis.sock', db: null, username: 'me', password: 'p@' }],
    ['/run/redis.sock', { path: '/run/redis.sock', db: null }],
  ])('may be %j', (text, address) => {
    expect(parseRedisUrl(text)).toEqual({ ok: true, address });
  });

  it.each([
    ['redis://me:s3cret@h?tls=true', 'rediss://h:6379'],
    ['redis://:s3cret@[::1]/3', 'redis://[::1]:6379/3'],
    ['unix://me:s3cret@/run/redis.sock?db=1', '/run/redis.sock, database 1'],
  ])('is described without user and password: %j', (text, described) => {
    const parsed = parseRedisUrl(text);
    expect(parsed.ok && describeAddress(parsed.address)).toBe(described);
  });
});

it('names a socket of any path', () => {
  const path = '/srv/a b/100%/#1?/redis.sock';
  expect(parseRedisUrl(socketAddress(path))).toEqual({ ok: true, address: { path, db: null } });
  expect(socketAddress('/srv/data/redis.sock')).toBe('unix:///srv/data/redis.sock');
});

describe('no address is', () => {
  const encode = 'needs its user and password percent-encoded';
  const notAnAddress = /^is not an address such as redis:\/\/host:6379, .*: /;
  it.each<[string, string | RegExp]>([
    ['', 'is empty'],
    [' \n', 'is empty'],
    ['redis://:100%@h', encode],
    ['redis://:s3cret%zz@h', encode],
    ['redis://:s3cret%ff@h', encode],
    ['redis://me:s3#cret@h:6379', encode],
    ['redis://me:s3/cret@h:6379/0', encode],
    ['redis://me:s3?cret@h', encode],
    ['redis://me:s3@cret@h', encode],
    ['redis://me:s3 cret@h', encode],
    ['redis://me:[s3cret]@h', encode],
    ['unix://me:s3#cret@/run/redis.sock', encode],
    ['redis://h:6379/0#s3cret', 'has a "#" after the host'],
    ['redis://h:1/abc', 'has something other than the number of a database after the host'],
    ['redis://h:1/1/2', 'has something other than the number of a database after the host'],
    ['redis://h:1/-1', 'has something other than the number of a database after the host'],
    ['redis://h?password=s3cret', 'has an unknown parameter "password": only db, tls, family'],
    ['redis://h?tsl=true', 'has an unknown parameter "tsl"'],
    ['redis://h?tls=yes', 'has a wrong value for the parameter "tls"'],
    ['redis://h?db=one', 'has a wrong value for the parameter "db"'],
    ['redis://h?family=5', 'has a wrong value for the parameter "family"'],
    ['redis://h?db=1&db=1', 'has the parameter "db" twice'],
    ['redis://h/1?db=2', 'names two databases'],
    ['rediss://h?tls=false', 'contradicts itself'],
    ['unix:///run/redis.sock?tls=true', 'has an unknown parameter "tls": only db'],
    ['redis://:s3cret@', 'has no host'],
    ['redis://', 'has no host'],
    ['redis://:6379', 'has no host'],
    ['redis://:s3cret@h:port', 'has a port that is not a number from 1 to 65535'],
    ['redis://h:65536', 'has a port that is not a number from 1 to 65535'],
    ['redis://h:0', 'has a port that is not a number from 1 to 65535'],
    ['redis://::1:6379', 'has an IPv6 address without brackets'],
    ['redis://[h]:6379', 'has brackets around what is not an IPv6 address'],
    ['redis://h h', 'has white space in it'],
    ['redis://h1:6379,h2:6379', 'names several hosts'],
    ['redis://hö', 'has an invalid host'],
    ['unix://run/redis.sock', notAnAddress],
    ['unix://', notAnAddress],
    ['localhost:6379', /: it has no scheme; write redis:\/\/localhost:6379$/],
    ['10.0.0.7:6379/1', /: it has no scheme; write redis:\/\/10.0.0.7:6379\/1$/],
    ['me:s3cret@h:6379', /: it has no scheme$/],
    ['s3cret', /: it has no scheme$/],
    ['redis:h', /: it has no scheme$/],
    ['//h:6379', /: it has no scheme$/],
    ['http://me:s3cret@h:6379', /: it begins with the scheme of a web address$/],
    ['valkey://h', /: its scheme is not one of these$/],
    ['"redis://:s3cret@h"', /: it is in quotes; remove them$/],
  ])('%j', (text, message) => {
    const parsed = parseRedisUrl(text);
    expect(parsed).toMatchObject({ ok: false, message: expect.stringMatching(message) });
    expect(parsed.ok || parsed.message).not.toMatch(/s3|cret|100%/);
  });
});
