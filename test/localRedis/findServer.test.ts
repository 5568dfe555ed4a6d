import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { findServer } from '../../src/localRedis/findServer.ts';

interface Machine {
  readonly bin: string;
  readonly say: string[];
  /** An executable shell script on this machine's PATH. It may use `$BIN`; each call is recorded first. */
  program(name: string, script?: string): string;
  calls(): string[];
  find(root: boolean): Promise<string>;
}

/** A PATH of one empty folder. */
function makeMachine(): Machine {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-machine-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const bin = join(folder, 'bin');
  const noted = join(folder, 'calls');
  mkdirSync(bin);
  writeFileSync(noted, '');
  const say: string[] = [];
  return {
    bin,
    say,
    program(name, script = 'exit 0') {
      const path = join(bin, name);
      const note = `echo "${name}${name === 'sudo' ? '' : ' ($DEBIAN_FRONTEND)'} $*" >> '${noted}'`;
      writeFileSync(path, `#!/bin/sh\nBIN='${bin}'\n${note}\n${script}\n`);
      chmodSync(path, 0o755);
      return path;
    },
    calls: () => readFileSync(noted, 'utf8').trim().split('\n').filter(Boolean),
    find: (root) => findServer({ env: { PATH: `/nowhere::${bin}` }, root, say: (line) => say.push(line) }),
  };
}

/** Creates a server when called to install one of these packages. */
const installs = (name: string) => `
case "$*" in
  *"${name}") printf '#!/bin/sh\\n' > "$BIN/redis-server"; /bin/chmod 755 "$BIN/redis-server";;
  *install*|*add*) echo "E: Unable to locate package" >&2; exit 100;;
esac`;
const sudo = 'shift; [ "$1" = env ] && shift 4; exec "$@"';
const aptGet = 'apt-get (noninteractive) -o DPkg::Lock::Timeout=120 -qq';

describe('a server on PATH', () => {
  it.each(['redis-server', 'valkey-server'])('is used as it is: %s', async (name) => {
    const machine = makeMachine();
    machine.program('apt-get');
    const path = machine.program(name);
    expect(await machine.find(true)).toBe(path);
    expect([machine.calls(), machine.say]).toEqual([[], []]);
  });

  it('counts only if it is executable', async () => {
    const machine = makeMachine();
    writeFileSync(join(machine.bin, 'redis-server'), 'no program');
    mkdirSync(join(machine.bin, 'valkey-server'));
    await expect(machine.find(true)).rejects.toThrow('no redis-server or valkey-server on PATH');
  });
});

describe('a missing server', () => {
  it('is installed by root with apt-get, without a question, and its service is disabled', async () => {
    const machine = makeMachine();
    machine.program('apt-get', installs('redis-server'));
    machine.program('systemctl', 'exit 1');
    expect(await machine.find(true)).toBe(join(machine.bin, 'redis-server'));
    expect(machine.say).toEqual([
      'No Redis here: installing redis-server with apt-get (once; set REDIS_URL to use your own instead)',
    ]);
    expect(machine.calls()).toEqual([
      `${aptGet} update`,
      `${aptGet} install -y --no-install-recommends redis-server`,
      'systemctl (noninteractive) disable --now redis-server',
    ]);
  });

  it('is installed through sudo if sudo asks for no password', async () => {
    const machine = makeMachine();
    // `true` and `env` are no builtins of this PATH.
    machine.program('true');
    machine.program('env');
    machine.program('sudo', sudo);
    machine.program('apt-get', installs('redis-server'));
    expect(await machine.find(false)).toBe(join(machine.bin, 'redis-server'));
    const settings = 'env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 LC_ALL=C';
    expect(machine.calls().filter((call) => call.startsWith('sudo'))).toEqual([
      'sudo -n true',
      `sudo -n ${settings} apt-get -o DPkg::Lock::Timeout=120 -qq update`,
      `sudo -n ${settings} apt-get -o DPkg::Lock::Timeout=120 -qq install -y --no-install-recommends redis-server`,
      `sudo -n ${settings} systemctl disable --now redis-server`,
    ]);
  });

  it('may be Valkey if the system has no Redis', async () => {
    const machine = makeMachine();
    machine.program('apk', installs('valkey').replaceAll('redis-server', 'valkey-server'));
    expect(await machine.find(true)).toBe(join(machine.bin, 'valkey-server'));
    expect(machine.calls()).toEqual([
      'apk (noninteractive) add --quiet redis',
      'apk (noninteractive) add --quiet valkey',
    ]);
  });

  it('is installed with brew, but never as root', async () => {
    const machine = makeMachine();
    machine.program('brew', installs('redis'));
    await expect(machine.find(true)).rejects.toThrow('install one (brew install redis, not as root), or set REDIS_URL');
    expect(machine.calls()).toEqual([]);
    expect(await machine.find(false)).toBe(join(machine.bin, 'redis-server'));
  });

  it('is installed with the next manager if the first would have to ask', async () => {
    const machine = makeMachine();
    machine.program('dnf');
    machine.program('brew', installs('redis'));
    expect(await machine.find(false)).toBe(join(machine.bin, 'redis-server'));
    expect(machine.calls()).toEqual(['brew (noninteractive) install --quiet redis']);
  });

  it('is not installed twice: a process waits for another one that is installing it', async () => {
    const machine = makeMachine();
    machine.program(
      'apt-get',
      `case "$*" in *update) [ -e "$BIN/seen" ] && exit 0; : > "$BIN/seen"
         echo 'E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)' >&2; exit 100;;
       *) printf '#!/bin/sh\\n' > "$BIN/redis-server"; /bin/chmod 755 "$BIN/redis-server"
         echo 'E: Could not get lock /var/lib/dpkg/lock-frontend' >&2; exit 100;; esac`,
    );
    expect(await machine.find(true)).toBe(join(machine.bin, 'redis-server'));
    expect(machine.calls().map((call) => call.split(' -qq ')[1])).toEqual([
      'update',
      'update',
      'install -y --no-install-recommends redis-server',
    ]);
  });

  it('does not keep the installer waiting for what the package left running', async () => {
    const machine = makeMachine();
    machine.program('apk', `${installs('redis')}\n/bin/sleep 300 & echo $! > "$BIN/left"`);
    await machine.find(true);
    const left = Number(readFileSync(join(machine.bin, 'left'), 'utf8'));
    // A signal to a process that has ended throws.
    process.kill(left);
  });

  it.each([
    ['no package manager', [], true, 'https://redis.io/docs/'],
    ['neither root nor sudo', ['apt-get'], false, '(sudo apt-get install redis-server)'],
    ['a sudo that asks for a password', ['dnf', 'sudo'], false, '(sudo dnf install redis)'],
  ] as const)('is requested in one line: %s', async (_case, programs, root, hint) => {
    const machine = makeMachine();
    for (const name of programs) machine.program(name, 'echo "a password is required" >&2; exit 1');
    const failure = await machine.find(root).catch((error: Error) => error);
    expect(failure).toMatchObject({ name: 'RedisStartError' });
    expect((failure as Error).message).toContain(hint);
    expect((failure as Error).message).not.toContain('\n');
    expect(machine.say).toEqual([]);
  });

  it("that cannot be installed is reported with the package manager's output", async () => {
    const machine = makeMachine();
    machine.program('apt-get', 'echo "E: Unable to locate package" >&2; exit 100');
    await expect(machine.find(true)).rejects.toThrow(
      'could not install redis-server or valkey-server with apt-get: E: Unable to locate package; install one, or set REDIS_URL',
    );
  });
});
