/** A real browser: Chromium from PATH, else from Debian's packages, where that can be done without a question. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
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
  const executablePath = onPath() ?? installed();
  return await chromium.launch({ executablePath, headless: true, args: flags });
}

function installed(): string {
  const options = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const;
  const aptGet = ['-o', 'DPkg::Lock::Timeout=120', '-qq'];
  try {
    execFileSync('apt-get', [...aptGet, 'update'], options);
    execFileSync('apt-get', [...aptGet, 'install', '-y', '--no-install-recommends', 'chromium'], options);
  } catch {
    // Told below, with what to do.
  }
  const path = onPath();
  if (path === null) throw new Error('no Chromium on PATH: install it (apt-get install chromium)');
  return path;
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
