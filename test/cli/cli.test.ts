import { execFile } from 'node:child_process';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Queue } from 'bullmq';
import { describe, expect, it, onTestFinished } from 'vitest';
import { identifyProcess, isRunning } from '../../src/localRedis/process.ts';
import { cli, logged, run } from '../support/cli.ts';
import { jid, makeCliRig, token } from '../support/cliRig.ts';
import { freePort } from '../support/redisServer.ts';
import { until } from '../support/until.ts';

const make = (yaml = '') => makeCliRig(`ops: off\n${yaml}`);

describe('start, rotate, status and consume together', () => {
  it('rotate, publish and show a link, and reveal no secret', async () => {
    const { standIn, env } = await make();
    const worker = run(['start'], { env });
    const consumer = run(['consume'], { env });
    await logged(worker, 'link.adopted');

    // As sudo would set it. Only root believes it.
    const rotated = run(['rotate', 'vip', '--reason', 'leaked', '--wait'], { env: { ...env, SUDO_USER: 'ana' } });
    const user = process.getuid?.() === 0 ? 'ana' : userInfo().username;
    expect(await rotated.ended).toBe(0);
    expect(rotated.stdout).toBe(`vip  rotated  ${standIn.linkOf(jid)}\n`);

    const [adopted, event] = await until('both events', () => (consumer.json().length > 1 ? consumer.json() : null));
    expect(adopted).toMatchObject({ version: 1, type: 'link.changed', reason: 'adopted' });
    expect(event).toMatchObject({
      version: 1,
      type: 'link.rotated',
      reason: 'request',
      inviteLink: standIn.linkOf(jid),
    });
    expect(event).toMatchObject({ request: { requestedBy: `${user}@${hostname()}`, reason: 'leaked' } });

    const table = run(['status'], { env });
    expect(await table.ended).toBe(0);
    expect(table.stdout).toMatch(/vip +fresh +\d*s? /);
    expect(table.stdout).toMatch(/bot +2 of 100 used +0 waiting, 0 active, 0 delayed +running/);
    const json = run(['status', '--json'], { env });
    expect(await json.ended).toBe(0);
    expect(json.json()[0]).toMatchObject({
      groups: [{ group: 'vip', state: 'fresh', lastError: null }],
      instances: [{ instance: 'bot', budget: { used: 2, limit: 100 }, gate: null }],
      page: { number: 1, pages: 1, size: 1, found: 1, isCut: false, next: null },
    });

    consumer.child.kill('SIGINT');
    expect(await consumer.ended).toBe(0);
    worker.child.kill('SIGTERM');
    expect(await worker.ended).toBe(0);
    expect(worker.json().at(-1)).toMatchObject({ event: 'stopped' });
    for (const output of [worker.stdout, worker.stderr, table.stdout, json.stdout]) {
      for (const secret of [token, ...standIn.group(jid).history.map(({ code }) => code)]) {
        expect(output).not.toContain(secret);
      }
    }
  });

  it('finish the call in flight at SIGTERM', async () => {
    const { standIn, env } = await make();
    standIn.faults.next({ kind: 'slow', ms: 600 }, { endpoint: 'reset' });
    const worker = run(['start'], { env });
    await logged(worker, 'started');
    const rotated = run(['rotate', 'vip', '--wait'], { env });
    await until('the call', () => standIn.log.of({ endpoint: 'reset' }).length === 1);
    worker.child.kill('SIGTERM');
    expect(await worker.ended).toBe(0);
    expect(await rotated.ended).toBe(0);
    expect(rotated.stdout).toContain(standIn.linkOf(jid));
  });

  it('exit at once at a second signal, without losing anything', async () => {
    const { standIn, env } = await make();
    const worker = run(['start'], { env });
    await logged(worker, 'started');
    // It ends after the second signal, and before the lease of its attempt.
    standIn.faults.next({ kind: 'slow', ms: 4_000 }, { endpoint: 'reset' });
    const rotated = run(['rotate', 'vip', '--wait'], { env });
    await until('the call', () => standIn.log.of({ endpoint: 'reset' }).length === 1);
    worker.child.kill('SIGTERM');
    await logged(worker, 'stopping');
    worker.child.kill('SIGTERM');
    expect(await worker.ended).toBe(1);
    const next = run(['start'], { env });
    await logged(next, 'started');
    expect(await rotated.ended).toBe(0);
    expect(rotated.stdout).toContain(standIn.linkOf(jid));
    expect(standIn.log.maxResetsInFlight(jid)).toBe(1);
  });

  it('settle the call that a killed worker had in flight', async () => {
    const { standIn, env } = await make('verify: off');
    const worker = run(['start'], { env });
    await logged(worker, 'started');
    await run(['rotate', 'vip', '--wait'], { env }).ended;
    standIn.faults.next({ kind: 'slow', ms: 3_000 }, { endpoint: 'reset' });
    const rotated = run(['rotate', 'vip', '--wait'], { env });
    await until('the call', () => standIn.log.of({ endpoint: 'reset' }).length === 2);
    worker.child.kill('SIGKILL');
    await worker.ended;
    await until('its effect', () => standIn.log.of({ endpoint: 'reset' })[1]?.effect);
    const next = run(['start'], { env });
    await logged(next, 'started');
    expect(await rotated.ended).toBe(0);
    expect(rotated.stdout).toBe(`vip  recovered  ${standIn.linkOf(jid)}\n`);
    expect(standIn.log.of({ endpoint: 'reset' })).toHaveLength(2);
  });
});

it('start an embedded Redis if none is configured, keep its data, and stop it', async () => {
  const { standIn, folder, env } = await make();
  const { REDIS_URL: _, ...without } = env;
  const here = { env: without, cwd: folder };
  const worker = run(['start'], here);
  const { pid } = await logged(worker, 'redis.embedded');
  const consumer = run(['consume'], here);
  await logged(worker, 'started');
  const rotated = run(['rotate', 'vip', '--wait'], here);
  expect([await rotated.ended, rotated.stdout]).toEqual([0, `vip  rotated  ${standIn.linkOf(jid)}\n`]);
  await until('both events', () => consumer.json().length === 2);
  consumer.child.kill('SIGTERM');
  expect(await consumer.ended).toBe(0);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  expect(isRunning(identifyProcess(Number(pid)))).toBe(false);

  const next = run(['start'], here);
  await logged(next, 'started');
  const status = run(['status', '--json'], here);
  expect(await status.ended).toBe(0);
  expect(status.json()[0]).toMatchObject({ groups: [{ group: 'vip', state: 'fresh' }] });
  next.child.kill('SIGTERM');
  expect(await next.ended).toBe(0);
});

describe('clear messages', () => {
  const end = async (args: string[], env: Record<string, string>, cwd?: string) => {
    const ran = run(args, { env, ...(cwd === undefined ? {} : { cwd }) });
    return [await ran.ended, ran.stderr, ran.stdout] as const;
  };

  it('for a bad file, with every problem, and exit code 2', async () => {
    const { file, env } = await make();
    const broken = readFileSync(file, 'utf8')
      .replace('every: 1h', 'evry: 1h')
      .replace('timeout: 5s', 'timeout: 1')
      .replace(jid, '"5511999999999"');
    writeFileSync(file, broken);
    const columnOf = (text: string) => (broken.split('\n').find((line) => line.includes(text)) ?? '').indexOf(text) + 1;
    const message =
      `${file}:1:${columnOf('1, settle')} api.timeout: expected a duration like 250ms, 30s, 5m, 6h, 7d or 1w, found 1: add a unit, as in 1s or 1m\n` +
      `${file}:3:${columnOf('"5511999999999"')} groups[0].identifier: is a phone number, not a group: expected a JID (…@g.us), an invite code or an invite link (https://chat.whatsapp.com/…)\n` +
      `${file}:3:${columnOf('evry')} groups[0].evry: unknown key "evry"; did you mean "every"?\n`;
    for (const command of ['check', 'start']) expect(await end([command], env)).toEqual([2, message, '']);
  });
  it('for a missing file', async () => {
    const { folder, env } = await make();
    const path = join(folder, 'nothing.yaml');
    const message = `${path}:1:1 there is no such file: run "invite-rotator init", or name the file with --config or ROTATOR_CONFIG\n`;
    expect(await end(['check', '--config', path], env)).toEqual([2, message, '']);
  });
  it('for wrong usage', async () => {
    const { env } = await make();
    expect((await end(['rotat'], env))[0]).toBe(2);
    expect(await end(['rotate'], env)).toEqual([2, 'name the groups to rotate, or --all\n', '']);
    expect((await end(['--help'], env))[0]).toBe(0);
    expect((await end(['--version'], env))[2]).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
  it('for a missing token', async () => {
    const { env } = await make();
    const { TOKEN: _, ...without } = env;
    const message = 'instance bot: the environment variable TOKEN (tokenEnv) is not set, nor is TOKEN_FILE\n';
    expect(await end(['start'], without)).toEqual([2, message, '']);
  });
  it('for an unreachable Redis, without its password', async () => {
    const { env } = await make();
    const port = await freePort();
    const message = `cannot reach Redis at redis://127.0.0.1:${port}: connection refused\n`;
    for (const command of [['start'], ['rotate', 'vip'], ['status'], ['consume']]) {
      expect(await end(command, { ...env, REDIS_URL: `redis://me:hunter2@127.0.0.1:${port}` })).toEqual([
        1,
        message,
        '',
      ]);
    }
  });
  it('for no Redis at all', async () => {
    const { folder, env } = await make();
    const { REDIS_URL: _, ...without } = env;
    const message =
      'no Redis: start the worker here first (invite-rotator start), or set REDIS_URL; no embedded Redis runs';
    expect(await end(['status'], without, folder)).toEqual([
      1,
      `${message} in ${join(realpathSync(folder), 'data')}\n`,
      '',
    ]);
  });
  it('for an unknown group, with a suggestion', async () => {
    const { file, env } = await make();
    const message = `unknown group "vpi": it is not in ${file}; did you mean "vip"?\n`;
    expect(await end(['rotate', 'vpi', '--wait'], env)).toEqual([2, message, '']);
  });
  it('for a request that times out', async () => {
    const { env } = await make();
    const message = 'vip  waiting  no link within 2s: is the worker running?; the request stays queued (waiting)\n';
    expect(await end(['rotate', 'vip', '--wait', '--timeout', '2s'], env)).toEqual([1, message, '']);
  });
  it('for a paused queue', async () => {
    const { env, redis, prefix } = await make();
    const queue = new Queue('rotations-bot', { connection: redis, prefix });
    onTestFinished(() => queue.close());
    await queue.pause();
    const paused = 'The queue rotations-bot is paused: its jobs wait until somebody resumes it';
    const message = `vip  waiting  no link within 2s: the queue rotations-bot is paused; the request stays queued\n`;
    expect(await end(['rotate', 'vip', '--wait', '--timeout', '2s'], env)).toEqual([1, message, '']);
    const [code, , shown] = await end(['status'], env);
    expect([code, shown]).toEqual([0, expect.stringContaining(`\n${paused} (1 job waits).\n`)]);
    const [, , json] = await end(['status', '--json'], env);
    expect(JSON.parse(json)).toMatchObject({ paused: ['rotations-bot'] });
  });
  it('for a wrong token, while the request waits', async () => {
    const { standIn, env } = await make();
    standIn.replaceToken(token, 'another');
    const worker = run(['start'], { env });
    await logged(worker, 'gate.closed');
    const [code, message] = await end(['rotate', 'vip', '--wait', '--timeout', '2s'], env);
    expect(code).toBe(1);
    expect(message).toMatch(
      /^vip {2}waiting {2}no link within 2s: bot is paused for \d+ s \(unauthorized\); the request stays queued\n$/,
    );
  });
});

it('prints the plan without Redis or a token', async () => {
  const { file } = await make();
  const ran = run(['check', '--config', file]);
  expect(await ran.ended).toBe(0);
  expect(ran.stdout).toContain(`${file} is valid.`);
  expect(ran.stdout).toMatch(
    /^The first start reads and publishes 1 link within seconds, and replaces it for the first time at \S+Z\.$/m,
  );
  expect(ran.stdout).toMatch(/bot +1 +0\.017 +90\.0/);
  expect(ran.stdout).toMatch(/vip +\d{4}-.*Z +every 1h/);
  const json = run(['check', '--json', '--config', file]);
  expect(await json.ended).toBe(0);
  expect(json.json()[0]).toMatchObject({ instances: [{ instance: 'bot', groups: 1, callsPerMinuteAllowed: 90 }] });
});

it('prints the rotations to come', async () => {
  const { file } = await make();
  const ran = run(['check', '--preview', '3h', '--config', file]);
  expect(await ran.ended).toBe(0);
  expect(ran.stdout).toMatch(/2 rotations to come/);
  expect(ran.stdout.match(/\bvip\b/g)).toHaveLength(2);
  const json = run(['check', '--preview', '3h', '--json', '--config', file]);
  expect(await json.ended).toBe(0);
  expect(json.json()[0]).toMatchObject({ rotations: [{ group: 'vip', instance: 'bot' }, { group: 'vip' }] });
  const wrong = run(['check', '--preview', 'soon', '--config', file]);
  expect([await wrong.ended, wrong.stderr]).toEqual([2, '--preview: "soon" is not a duration such as 24h or 7d\n']);
});

it('reads its file and its token again at SIGHUP', async () => {
  const { standIn, folder, file, env } = await make();
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, 'an-old-token-of-this-test');
  writeFileSync(file, readFileSync(file, 'utf8').replace('tokenEnv: TOKEN', `tokenFile: "${tokenFile}"`));
  const worker = run(['start'], { env });
  await logged(worker, 'started');
  writeFileSync(tokenFile, token);
  writeFileSync(file, readFileSync(file, 'utf8').replace('id: vip', 'id: very-important'));
  worker.child.kill('SIGHUP');
  await logged(worker, 'config.reloaded');
  const rotated = run(['rotate', 'very-important', '--wait'], { env });
  expect(await rotated.ended).toBe(0);
  expect(standIn.log.of({ endpoint: 'reset' }).map(({ status }) => status)).toEqual([200]);
});

it('rotates a registered group although its file has a problem in another section', async () => {
  const { env, file, standIn } = await make();
  const worker = run(['start'], { env });
  await logged(worker, 'started');
  writeFileSync(file, readFileSync(file, 'utf8').replace('every: 1h', 'evry: 1h'));
  const rotated = run(['rotate', 'vip', '--wait'], { env });
  expect([await rotated.ended, rotated.stderr]).toEqual([0, '']);
  expect(rotated.stdout).toBe(`vip  rotated  ${standIn.linkOf(jid)}\n`);
  const unknown = run(['rotate', 'vpi'], { env });
  expect([await unknown.ended, unknown.stderr]).toEqual([2, expect.stringContaining('unknown key "evry"')]);
});

it('rotates all groups of the file', async () => {
  const { env, standIn } = await make();
  const worker = run(['start'], { env });
  await logged(worker, 'started');
  const rotated = run(['rotate', '--all', '--yes', '--wait', '--json'], { env });
  expect(await rotated.ended).toBe(0);
  expect(rotated.json()).toMatchObject([{ group: 'vip', status: 'rotated', inviteLink: standIn.linkOf(jid) }]);
});

it('shows its progress on a terminal', async () => {
  const { env } = await make();
  const worker = run(['start'], { env });
  await logged(worker, 'started');
  const command = `${process.execPath} ${cli} rotate --all --wait --yes`;
  // `script` runs the command on a terminal.
  const { stdout } = await promisify(execFile)('script', ['-qec', command, '/dev/null'], {
    env: { ...process.env, ...env, TERM: 'xterm' },
  });
  expect(stdout).toContain('vip  rotated  https://chat.whatsapp.com/');
  expect(stdout).toMatch(/1 of 1 done, 0 failed/);
});
