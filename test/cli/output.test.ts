/** Output is whole in every kind of pipe, a closed pipe is no error, and wrong usage exits with 2 in one line. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { cli, logged, run } from '../support/cli.ts';
import { jid, makeCliRig } from '../support/cliRig.ts';
import { ctrlC, onTerminal } from '../support/terminal.ts';
import { until } from '../support/until.ts';

const make = (more = 0) => makeCliRig('ops: off\nverify: off', { more });
const node = JSON.stringify(process.execPath);

/** Runs a shell command with the rig's environment, and the program as `$P`. */
async function shell(command: string, env: Record<string, string>, cwd?: string) {
  const { REDIS_URL: _, ROTATOR_CONFIG: __, ...inherited } = process.env;
  const options = { env: { ...inherited, ...env, P: cli }, cwd, maxBuffer: 1e9 };
  const { stdout, stderr } = await promisify(execFile)('/bin/sh', ['-c', command], options);
  return { stdout, stderr };
}

describe('output is whole', () => {
  it('in a pipe that is read late, in a FIFO and in a file', async () => {
    const { env, folder } = await make(60);
    const check = `${node} "$P" check --preview 4d --json`;
    const late = await shell(`${check} | (sleep 1; cat)`, env);
    const { rotations } = JSON.parse(late.stdout);
    expect(rotations.length).toBeGreaterThan(61 * 90);
    expect(late.stdout.length).toBeGreaterThan(300_000);
    const fifo = await shell(`mkfifo f; (sleep 0.5; cat f) & ${check} > f; wait`, env, folder);
    expect(JSON.parse(fifo.stdout).rotations).toHaveLength(rotations.length);
    await shell(`${check} > file.json`, env, folder);
    expect(JSON.parse(readFileSync(join(folder, 'file.json'), 'utf8')).rotations).toHaveLength(rotations.length);
  });

  it('for errors too', async () => {
    const { env, file } = await make();
    const groups = Array.from(
      { length: 3_000 },
      (_, i) => `{ id: g${i}, identifier: "5511999990000@c.us", every: 1h }`,
    );
    writeFileSync(file, readFileSync(file, 'utf8').replace(/groups: \[.*\]/, `groups: [${groups.join(', ')}]`));
    const { stdout } = await shell(`${node} "$P" check 2>&1 >/dev/null | (sleep 1; cat)`, env);
    expect(stdout.length).toBeGreaterThan(150_000);
    expect(stdout).toContain('groups[2999].identifier');
  });
});

describe('output that nobody takes', () => {
  it('is no error of a command: a closed pipe', async () => {
    const { env } = await make(30);
    for (const args of ['check --preview 20d --json', 'status', '--help']) {
      const first = await shell(`(${node} "$P" ${args}; echo "exit $?" >&2) | head -c 20`, env);
      expect([first.stdout.length, first.stderr]).toEqual([20, 'exit 0\n']);
    }
    const watching = spawn(process.execPath, [cli, 'status', '--watch', '--json'], { env: { ...process.env, ...env } });
    watching.stdout.once('data', () => watching.stdout.destroy());
    const code = await new Promise((resolve) => watching.on('close', resolve));
    expect(code).toBe(0);
  });

  it.skipIf(!existsSync('/dev/full'))('is an error in one line: a full disk', async () => {
    const { env } = await make();
    for (const args of [['check', '--json'], ['status'], ['--help']]) {
      const ran = run(args, { env, stdout: openSync('/dev/full', 'w') });
      const message = 'cannot write to standard output: no space left on device\n';
      expect([await ran.ended, ran.stderr]).toEqual([1, message]);
    }
  });
});

it('wrong usage exits with 2 in one line, with a suggestion for a near miss', async () => {
  const { env } = await make();
  const cases = [
    ['rotat', /^error: unknown command 'rotat'; did you mean "rotate"\? \(see --help\)$/],
    ['stop', /^error: unknown command 'stop' \(see --help\)$/],
    ['status --wach', /^error: unknown option '--wach'; did you mean "--watch"\? \(see --help\)$/],
    ['consume --json', /^error: unknown option '--json' \(see --help\)$/],
    ['status vip bot', /^error: too many arguments for 'status'/],
    ['check --config', /^error: option '-c, --config <path>' argument missing/],
    ['check --preview 7', /^--preview: "7" is not a duration such as 24h or 7d: add a unit, as in 7s or 7m$/],
    ['rotate vip --timeout 1.5h', /^--timeout: "1.5h" is not a duration such as 60s or 5m; write 90m$/],
    ['rotate vip --timeout 0s', /^--timeout: "0s" is not a duration/],
    ['rotate vip --all', /^name the groups to rotate, or --all, not both$/],
    ['status vpi', /^"vpi" is neither a group nor an instance of \S+; did you mean "vip"\?$/],
    ['status support', /^"support" is neither a group nor an instance of \S+$/],
    ['consume --queue invite-link', /results queue "invite-link"; did you mean "invite-links"\?; .* is invite-links$/],
    [
      'consume --queue rotations-bot',
      /^--queue: unknown results queue "rotations-bot"; the results queue is invite-links$/,
    ],
  ] as const;
  const ran = cases.map(([args]) => run(args.split(' '), { env }));
  for (const [i, [args, message]] of cases.entries()) {
    expect([args, await ran[i]?.ended, ran[i]?.stdout]).toEqual([args, 2, '']);
    expect(ran[i]?.stderr.trimEnd()).toMatch(message);
  }
});

describe('status', () => {
  it('tells everything about one group or instance, without a link', async () => {
    const { env, standIn } = await make(1);
    const worker = run(['start'], { env });
    await until('both groups to be read', () => standIn.log.of({ endpoint: 'info' }).length === 2);
    await logged(worker, 'started');
    await run(['rotate', 'vip', '--wait'], { env }).ended;
    for (const name of ['vip', jid, standIn.linkOf(jid)]) {
      const one = run(['status', name], { env });
      expect(await one.ended).toBe(0);
      expect(one.stdout).toMatch(/^group +vip\nstate +fresh: /);
      expect(one.stdout).not.toContain(standIn.codeOf(jid));
    }
    const json = run(['status', 'vip', '--json'], { env });
    expect(await json.ended).toBe(0);
    expect(json.json()).toMatchObject([{ group: 'vip', jid, state: 'fresh', queued: { oneOffs: [] } }]);
    const bot = run(['status', 'bot'], { env });
    expect(await bot.ended).toBe(0);
    expect(bot.stdout).toMatch(/^2 groups: 2 fresh\.\n1 worker: .*\nConfiguration in force: [0-9a-f]{12} since /);
    worker.child.kill('SIGTERM');
    await worker.ended;
    await run(['rotate', jid, '--reason', 'leaked'], { env }).ended;
    const queued = run(['status', 'vip'], { env });
    expect(await queued.ended).toBe(0);
    expect(queued.stdout).toMatch(/^one-offs +waiting, pushed .* leaked, job \S+$/m);
  });

  it('watches within the terminal, and leaves it as it was', async () => {
    const { env } = await make(60);
    const watching = onTerminal('status --watch', env, 60);
    await until('the first state', () => watching.shown().includes('and '));
    watching.type(ctrlC);
    expect(await watching.ended).toBe(0);
    const shown = watching.shown();
    expect(shown).toMatch(/and \d+ more/);
    expect(shown.lastIndexOf('\x1b[?25h')).toBeGreaterThan(shown.lastIndexOf('\x1b[?25l'));
  });

  it('shows everything on a terminal that does not know its size', async () => {
    const { env } = await make();
    const { shown, ended } = onTerminal('status', env, 0);
    expect(await ended).toBe(0);
    expect(shown()).toMatch(/^1 group: 1 new\.$/m);
    expect(shown()).toMatch(/^vip +/m);
  });
});
