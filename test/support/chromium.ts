/** A real browser: Chromium from PATH, else from Debian's packages, if that needs no confirmation. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Browser, chromium } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome'];
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function startBrowser(): Promise<Browser> {
  const executablePath = onPath() ?? (await install());
  return await chromium.launch({ executablePath, headless: true, args: flags });
}

const run = promisify(execFile);
const installMs = 4 * 60_000;

/** Tests in other processes may install it at the same time: then it is present before this process gets its turn. */
async function install(): Promise<string> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const aptGet = (...args: string[]) => run('apt-get', ['-o', 'DPkg::Lock::Timeout=120', '-qq', ...args], { env });
  const deadline = performance.now() + installMs;
  for (;;) {
    const failed = await aptGet('update')
      .then(() => aptGet('install', '-y', '--no-install-recommends', 'chromium'))
      .then(
        () => null,
        (error: Error) => error,
      );
    const path = onPath();
    if (path !== null && failed === null) return path;
    if (performance.now() > deadline || (failed as NodeJS.ErrnoException | null)?.code === 'ENOENT') {
      throw new Error(`no Chromium on PATH, and it cannot be installed (apt-get install chromium): ${failed?.message}`);
    }
    await sleep(1_000);
  }
}

function onPath(): string | null {
  const paths = (process.env.PATH ?? '').split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
  return paths.find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
