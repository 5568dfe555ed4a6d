/** `rotate` of many groups: it asks, says how long it takes, and says what stays queued when the wait ends. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Queue } from 'bullmq';
import { describe, expect, it, onTestFinished } from 'vitest';
import { run } from '../support/cli.ts';
import { makeCliRig } from '../support/cliRig.ts';
import { ctrlC, onTerminal } from '../support/terminal.ts';
import { until } from '../support/until.ts';

async function makeRig(options: Parameters<typeof makeCliRig>[1] = {}) {
  const rig = await makeCliRig('ops: off\nverify: off', options);
  const queue = new Queue('rotations-bot', { connection: rig.redis, prefix: rig.prefix });
  onTestFinished(() => queue.close());
  const ids = ['vip', ...Array.from({ length: options.more ?? 0 }, (_, i) => `g${i + 1}`)];
  return { ...rig, queue, ids };
}

describe('without a terminal', () => {
  it('refuses to rotate more than ten groups, and names --yes', async () => {
    const { env, queue, ids } = await makeRig({ more: 10 });
    const refused = [run(['rotate', '--all'], { env }), run(['rotate', ...ids], { env })];
    const piped = run(['rotate', '--all'], { env, stdin: 'pipe' });
    piped.child.stdin?.end('y\n');
    for (const ran of [...refused, piped]) {
      expect([await ran.ended, ran.stderr, ran.stdout]).toEqual([2, expect.stringMatching(/^[^\n]*--yes\n$/), '']);
    }
    expect(await queue.count()).toBe(0);
    const ten = run(['rotate', ...ids.slice(1), 'g1'], { env });
    expect([await ten.ended, ten.stderr]).toEqual([0, '']);
    expect(await queue.count()).toBe(10);
    const all = run(['rotate', '--all', '--yes'], { env });
    expect([await all.ended, all.stdout.split('\n').length]).toEqual([0, 12]);
    expect(await queue.count()).toBe(21);
  });
});

describe('on a terminal', () => {
  it('asks first, with the count, the instances and the time', async () => {
    const { env, queue } = await makeRig({ more: 10 });
    const answered = async (keys: string) => {
      const asked = onTerminal('rotate --all', env);
      await until('the question', () => asked.shown().includes('[y/N] '));
      asked.type(keys);
      return [await asked.ended, asked.shown().replaceAll('\x1b[0K', '')] as const;
    };
    const [refused, shown] = await answered('n\r');
    expect([refused, await queue.count()]).toEqual([1, 0]);
    expect(shown).toMatch(/Rotate the links of all 11 groups \(bot\) now\? .* This takes a few seconds\./);
    expect(shown).toMatch(/nothing was queued\r\n$/);
    expect(await answered(ctrlC)).toEqual([130, expect.stringMatching(/nothing was (queued|done)\r\n$/)]);
    expect(await answered('\x04')).toEqual([1, expect.stringMatching(/nothing was queued\r\n$/)]);
    expect(await queue.count()).toBe(0);
    expect(await answered('y\r')).toEqual([0, expect.stringContaining('vip  queued')]);
    expect(await queue.count()).toBe(11);
  });

  it('restores the cursor at Ctrl-C, and says what stays queued', async () => {
    const { env, queue } = await makeRig();
    const waiting = onTerminal('rotate vip --wait', env);
    await until('the request', async () => (await queue.count()) === 1);
    await until('the progress bar', () => waiting.shown().includes('0 of 1 done'));
    waiting.type(ctrlC);
    expect(await waiting.ended).toBe(130);
    const shown = waiting.shown();
    expect(shown).toContain('1 request stays queued (vip)');
    expect(shown).not.toContain('1 of 1 done');
    expect(shown.lastIndexOf('\x1b[?25h')).toBeGreaterThan(shown.lastIndexOf('\x1b[?25l'));
    expect(shown).not.toMatch(/^ +at /m);
  });
});

it('waits as long as the limit needs', async () => {
  const { env, standIn } = await makeRig({ more: 11, limit: 8 });
  const worker = run(['start'], { env });
  await until('every group to be read', () => standIn.log.of({ endpoint: 'info' }).length === 12);
  const rotated = run(['rotate', '--all', '--yes', '--wait'], { env });
  expect(await rotated.ended).toBe(0);
  expect(rotated.stderr).toMatch(/^12 groups: this takes (about [\dms ]+|a few seconds)\n$/);
  expect(rotated.stdout.match(/ {2}rotated {2}https:/g)).toHaveLength(12);
  worker.child.kill('SIGTERM');
  await worker.ended;
});

describe('when the wait ends early', () => {
  it('calls what is not done waiting, and exits with 1', async () => {
    const { env, queue } = await makeRig({ more: 1 });
    const text = run(['rotate', 'vip', 'g1', '--wait', '--timeout', '3s'], { env });
    const json = run(['rotate', 'vip', '--wait', '--timeout', '3s', '--json'], { env });
    expect([await text.ended, text.stdout]).toEqual([1, '']);
    expect(text.stderr).toContain('2 groups: 0 done, 0 failed, 2 waiting; 2 requests stay queued (vip, g1)\n');
    expect(text.stderr).not.toMatch(/ {2}failed {2}/);
    expect(await json.ended).toBe(1);
    expect(json.json()).toMatchObject([{ group: 'vip', status: 'waiting' }]);
    expect(await queue.count()).toBe(3);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s, says what stays queued', async (signal, code) => {
    const { env, queue } = await makeRig({ more: 11 });
    const waiting = run(['rotate', '--all', '--yes', '--wait'], { env });
    // Written once Redis has accepted them all.
    await until('the requests', () => waiting.stderr.includes('12 groups: this takes '));
    expect(await queue.count()).toBe(12);
    waiting.child.kill(signal);
    expect([await waiting.ended, waiting.stdout]).toEqual([code, '']);
    expect(waiting.stderr.trimEnd().split('\n').at(-1)).toMatch(
      /^interrupted: 12 requests stay queued \((\w+, ){9}\w+ and 2 more\)$/,
    );
  });

  it('by a signal before Redis answers, says that nothing was queued', async () => {
    const { env } = await makeRig();
    const silent = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void silent.close());
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const waiting = run(['rotate', 'vip'], { env: { ...env, REDIS_URL: `redis://127.0.0.1:${port}` } });
    await once(silent, 'connection');
    waiting.child.kill('SIGINT');
    expect([await waiting.ended, waiting.stderr]).toEqual([130, 'interrupted: nothing was queued\n']);
  });
});
