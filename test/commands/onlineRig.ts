/** A stand-in with two instances, an empty folder, and the built program in it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type StandInOptions, startStandIn } from '../../dev/standin/standIn.ts';
import { run } from '../support/cli.ts';

export const tokens = { bot: 'token-of-the-bot-instance', bot2: 'token-of-the-other-one' };
export const jid = (n: number) => `1203634062890050${String(n).padStart(2, '0')}@g.us`;

export async function makeOnlineRig(options: Partial<StandInOptions> = {}) {
  const standIn = await startStandIn({
    instances: ['bot', 'bot2'],
    tokens: [
      { token: tokens.bot, instance: 'bot' },
      { token: tokens.bot2, instance: 'bot2' },
    ],
    groups: [],
    ...options,
  });
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-online-'));
  onTestFinished(async () => {
    await standIn.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'rotation.yaml');
  const env = { RYZE_TOKEN: tokens.bot, TOKEN_2: tokens.bot2, ROTATOR_CONFIG: file };
  return {
    ...{ standIn, folder, file, env },
    /** The file, with the addresses of the stand-in and both instances. */
    write(yaml: string, instances = '[{ name: bot, tokenEnv: RYZE_TOKEN }, { name: bot2, tokenEnv: TOKEN_2 }]') {
      writeFileSync(file, `api: { baseUrl: "${standIn.url}", timeout: 10s }\ninstances: ${instances}\n${yaml}`);
    },
    read: () => (existsSync(file) ? readFileSync(file, 'utf8') : null),
    async ends(args: readonly string[], more: Record<string, string> = {}) {
      const ran = run(args, { env: { ...env, ...more }, cwd: folder });
      return { code: await ran.ended, stdout: ran.stdout, stderr: ran.stderr };
    },
  };
}
