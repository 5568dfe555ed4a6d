/** The section `redis`: one server, Sentinels or a cluster. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/problems.ts';

const head = `instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: "120363406289005073@g.us", every: 1d }]
`;
const parse = (section: string) => parseConfig(`${head}redis: ${section}\n`, '/etc/rotator/rotation.yaml');

function redis(section: string) {
  const parsed = parse(section);
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'));
  return parsed.config.redis;
}

const problems = (section: string) => {
  const parsed = parse(section);
  return parsed.ok
    ? []
    : parsed.problems.map(formatProblem).map((line) => line.replace('/etc/rotator/rotation.yaml:', ''));
};

describe('a good section', () => {
  it('names one server, with its password in the address or elsewhere', () => {
    expect(redis('{ url: "rediss://u:p@h:1/2" }')).toEqual({
      prefix: 'bull',
      servers: { kind: 'single', url: 'rediss://u:p@h:1/2', password: null },
    });
    expect(redis('{ url: "redis://h", passwordFile: secrets/redis, prefix: links }')).toEqual({
      prefix: 'links',
      servers: {
        kind: 'single',
        url: 'redis://h',
        password: { name: 'password', from: 'file', path: '/etc/rotator/secrets/redis' },
      },
    });
  });

  it('names Sentinels, and how to log in to them and to the servers they watch', () => {
    const section = `
  sentinels: [{ host: s1 }, { host: 10.0.0.2, port: 5000 }]
  name: mymaster
  username: rotator
  passwordEnv: REDIS_PASSWORD
  sentinelPasswordEnv: SENTINEL_PASSWORD
  tls: true`;
    expect(redis(section)).toEqual({
      prefix: 'bull',
      servers: {
        kind: 'sentinel',
        sentinels: [
          { host: 's1', port: 26_379 },
          { host: '10.0.0.2', port: 5_000 },
        ],
        name: 'mymaster',
        sentinelPassword: { name: 'sentinelPassword', from: 'env', variable: 'SENTINEL_PASSWORD' },
        login: {
          username: 'rotator',
          password: { name: 'password', from: 'env', variable: 'REDIS_PASSWORD' },
          tls: true,
        },
      },
    });
  });

  it('names nodes of a cluster, whose keys then have a hash tag', () => {
    const servers = { kind: 'cluster', nodes: [{ host: 'n1', port: 6_379 }], login: { password: null, tls: false } };
    expect(redis('{ cluster: [{ host: n1 }] }')).toEqual({ prefix: '{bull}', servers });
    expect(redis('{ cluster: [{ host: n1 }], prefix: "x:{links}" }')).toEqual({ prefix: 'x:{links}', servers });
  });
});

describe('a bad section is reported', () => {
  const table: [string, string, string[]][] = [
    [
      'an address of another protocol',
      '{ url: "http://localhost" }',
      [
        '3:15 redis.url: is not an address such as redis://host:6379, rediss://user:password@host:6379/0 or unix:///path/to/socket: it begins with the scheme of a web address',
      ],
    ],
    [
      'a raw character in a password',
      '{ url: "redis://:s3#cret@h" }',
      [
        '3:15 redis.url: needs its user and password percent-encoded ("#" as %23, "/" as %2F, "@" as %40, "%" as %25), or the password in a file (redis.passwordFile)',
      ],
    ],
    [
      'an empty address',
      '{ url: "" }',
      ['3:15 redis.url: is empty: remove it, or set it to an address such as redis://host:6379'],
    ],
    [
      'two kinds of servers',
      '{ url: "redis://h", cluster: [{ host: n1 }] }',
      ['3:8 redis: has both "url" and "cluster": remove one'],
    ],
    [
      'Sentinels without a name',
      '{ sentinels: [{ host: s1 }] }',
      ['3:8 redis: "sentinels" needs "name", the name of the primary, such as mymaster'],
    ],
    [
      'no Sentinels',
      '{ sentinels: [], name: x }',
      [
        '3:21 redis.sentinels: expected a list with at least one entry like { host: redis-1, port: 26379 }, found an empty list',
      ],
    ],
    ['a node as text', '{ cluster: ["n1:6379"] }', ['3:20 redis.cluster[0]: expected a map, found text']],
    [
      'a mistyped key of a node',
      '{ cluster: [{ hots: n1, port: 70000 }] }',
      [
        '3:20 redis.cluster[0].host: is required',
        '3:22 redis.cluster[0].hots: unknown key "hots"; did you mean "host"?',
        '3:38 redis.cluster[0].port: expected a whole number from 1 to 65535',
      ],
    ],
    [
      'a common wrong name',
      '{ nodes: [{ host: n1 }] }',
      ['3:10 redis.nodes: unknown key "nodes": the list of nodes is called "cluster"'],
    ],
    [
      'a prefix that would scatter the keys',
      '{ cluster: [{ host: n1 }], prefix: "{}links" }',
      ['3:43 redis.prefix: Redis Cluster needs a {hash tag} in it, such as "{links}"'],
    ],
    [
      'settings without an effect',
      '{ url: "rediss://h", tls: true, username: me, name: x, sentinelPasswordEnv: PW }',
      [
        '3:34 redis.tls: has an effect only with "sentinels" or "cluster"; use rediss://',
        '3:50 redis.username: has an effect only with "sentinels" or "cluster"; use redis://user@host',
        '3:60 redis.name: has an effect only with "sentinels"',
        '3:84 redis.sentinelPasswordEnv: has an effect only with "sentinels"',
      ],
    ],
    [
      'a password for no server',
      '{ passwordEnv: PW }',
      ['3:23 redis.passwordEnv: has an effect only with "url", "sentinels" or "cluster"'],
    ],
    [
      'two sources of one password',
      '{ cluster: [{ host: n1 }], passwordEnv: PW, passwordFile: x }',
      ['3:8 redis: has both "passwordEnv" and "passwordFile": remove one'],
    ],
    [
      'two passwords',
      '{ url: "redis://:p@h", passwordEnv: PW }',
      ['3:15 redis.url: contains a password, and "passwordEnv" names another'],
    ],
    [
      'a password itself',
      '{ url: "redis://h", password: s3cret }',
      [
        '3:28 redis.password: do not put the password in this file: name an environment variable (passwordEnv) or a file (passwordFile)',
      ],
    ],
  ];
  it.each(table)('%s', (_name, section, expected) => expect(problems(section)).toEqual(expected));
});
