/**
 * TLS to Redis in each of its three forms: a certificate of a private authority, a user with a password, real
 * processes.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, Redis } from 'ioredis';
import { expect, inject, it, onTestFinished } from 'vitest';
import { makeRig, noProxy } from '../crash/rig.ts';
import { logged } from '../support/cli.ts';
import { freePort, launch } from '../support/redisServer.ts';
import { ownCertificate } from '../support/tlsFront.ts';
import { until } from '../support/until.ts';

const host = '127.0.0.1';
const user = 'rotator';
/** Each of its characters has a special meaning in an address. */
const password = 'p@ss:w/rd?%25';
const data = `save ""\nmaxmemory-policy noeviction\nuser ${user} on >${password} ~* &* +@all\n`;

/** Starts servers that speak TLS on a port beside the plain one, which is left to the test itself. */
async function ownServers() {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-tls-'));
  const certificate = await ownCertificate();
  const authority = join(folder, 'cert.pem');
  writeFileSync(authority, certificate.cert);
  writeFileSync(join(folder, 'key.pem'), certificate.private);
  const stops: (() => Promise<void>)[] = [];
  onTestFinished(async () => {
    for (const stop of stops.reverse()) await stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const start = async (settings: string, ...args: string[]) => {
    const [port, tlsPort] = [await freePort(), await freePort()];
    const file = join(folder, `${port}.conf`);
    const tls = 'tls-cert-file cert.pem\ntls-key-file key.pem\ntls-ca-cert-file cert.pem\ntls-auth-clients no\n';
    writeFileSync(file, `port ${port}\ntls-port ${tlsPort}\n${tls}bind ${host}\ndir ${folder}\n${settings}`);
    const { stop } = await launch(inject('redisServer'), [file, ...args], { folder, port, password: undefined });
    stops.push(stop);
    return { port, tlsPort };
  };
  return { authority, start };
}
type Start = Awaited<ReturnType<typeof ownServers>>['start'];

interface Reached {
  /** For the test itself. */
  readonly redis: Redis | Cluster;
  readonly prefix?: string;
  /** For the worker: either one. */
  readonly address?: string;
  readonly section?: string;
}

async function byAddress(start: Start): Promise<Reached> {
  const { port, tlsPort } = await start(data);
  const login = `${user}:${encodeURIComponent(password)}`;
  return { redis: new Redis({ port, maxRetriesPerRequest: null }), address: `rediss://${login}@${host}:${tlsPort}` };
}

const login = `, username: ${user}, passwordEnv: PW, tls: true`;

async function bySentinels(start: Start): Promise<Reached> {
  const { port, tlsPort } = await start(data);
  const watched = `tls-replication yes\nsentinel monitor links ${host} ${tlsPort} 1\n`;
  const { tlsPort: asked } = await start(watched, '--sentinel');
  const section = `, sentinels: [{ host: ${host}, port: ${asked} }], name: links${login}`;
  return { redis: new Redis({ port, maxRetriesPerRequest: null }), section };
}

async function byCluster(start: Start): Promise<Reached> {
  const alone = `cluster-enabled yes\ncluster-announce-ip ${host}\ncluster-port ${await freePort()}\n`;
  const { port, tlsPort } = await start(`${data}tls-cluster yes\n${alone}`);
  const node = new Redis({ port, replyMapping: 'legacy' });
  onTestFinished(() => node.disconnect());
  await node.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
  await until('the cluster to be up', async () => String(await node.cluster('INFO')).includes('cluster_state:ok'));
  // A client without TLS is sent to the port without TLS.
  const redis = new Cluster([{ host, port }], { redisOptions: { maxRetriesPerRequest: null, replyMapping: 'legacy' } });
  return { redis, prefix: '{links}', section: `, cluster: [{ host: ${host}, port: ${tlsPort} }]${login}` };
}

it.each([
  ['an address', byAddress],
  ['Sentinels', bySentinels],
  ['a cluster', byCluster],
])(
  'works over TLS as a user with a password, by %s, and rejects an unknown certificate authority',
  async (_name, reach) => {
    const { authority, start } = await ownServers();
    const { redis, prefix = 'bull', address, section = '' } = await reach(start);
    redis.on('error', () => {});
    onTestFinished(() => redis.disconnect());
    const env = { PW: password, ...(address === undefined ? {} : { REDIS_URL: address }) };
    const trusting = { ...env, NODE_EXTRA_CA_CERTS: authority };
    const rig = await makeRig({ redis, prefix, url: null, section, env: trusting }, noProxy);
    const worker = rig.start();
    await logged(worker, 'started');
    const rotated = rig.command('rotate', 'g0', '--wait', '--json');
    expect(await rotated.ended).toBe(0);
    await rig.expectLive(0);
    worker.child.kill('SIGTERM');
    expect(await worker.ended).toBe(0);

    const suspicious = await makeRig({ redis, prefix, url: null, section, env }, noProxy);
    const refused = suspicious.start();
    expect(await refused.ended).toBe(1);
    expect(refused.stderr).toMatch(/^cannot reach Redis at .*: self-signed certificate\b/);
    for (const output of [refused.stderr, refused.stdout, worker.stdout]) expect(output).not.toContain(password);
  },
);
