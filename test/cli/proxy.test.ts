/** The worker behind a proxy, with RyzeAPI behind a certificate of a private authority. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { logged, run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';
import { startHttpProxy } from '../support/httpProxy.ts';
import { startTlsFront } from '../support/tlsFront.ts';

async function behindTls({ standIn, file, folder }: Awaited<ReturnType<typeof makeCliRig>>) {
  const { host, certificate } = await startTlsFront(standIn.url);
  writeFileSync(file, readFileSync(file, 'utf8').replace(standIn.url, `https://${host}`));
  const authority = join(folder, 'authority.pem');
  writeFileSync(authority, certificate);
  return { host, authority };
}

it('reaches RyzeAPI through HTTPS_PROXY, and trusts the authority in NODE_EXTRA_CA_CERTS', async () => {
  const rig = await makeCliRig('ops: off\nverify: off');
  const { host, authority } = await behindTls(rig);
  const proxy = await startHttpProxy();
  const env = { ...rig.env, HTTPS_PROXY: `http://me:hunter2@127.0.0.1:${proxy.port}`, NO_PROXY: '', no_proxy: '' };

  const worker = run(['start'], { env: { ...env, NODE_EXTRA_CA_CERTS: authority } });
  await logged(worker, 'link.adopted');
  expect(await run(['rotate', 'vip', '--wait'], { env }).ended).toBe(0);
  expect(rig.standIn.log.all.map(({ endpoint }) => endpoint)).toEqual(['info', 'reset']);
  expect(new Set(proxy.asked)).toEqual(new Set([host]));
  expect(new Set(proxy.logins)).toEqual(new Set(['me:hunter2']));
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  expect(worker.stdout).not.toContain('hunter2');
});

it('refuses an invalid address of a proxy at start, in one line and without its password', async () => {
  const { env } = await makeCliRig('ops: off');
  const worker = run(['start'], { env: { ...env, HTTPS_PROXY: 'http://me:hunter#2@proxy.example:3128' } });
  expect([await worker.ended, worker.stdout, worker.stderr]).toEqual([
    2,
    '',
    'HTTPS_PROXY has a character in its user or password that must be percent-encoded: expected an address like http://proxy.example:3128\n',
  ]);
});
