/** What short commands take from start to end, beside an empty Node.js process. Each round runs all of them in turn. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jidOf, setStage } from '../budget/contest.ts';
import { markdownTable } from '../support/table.ts';

const rounds = 15;
const cli = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));
const commands: Readonly<Record<string, readonly string[]>> = {
  'node -e 0': ['-e', '0'],
  '--version': [cli, '--version'],
  'check without Redis': [cli, 'check'],
  check: [cli, 'check'],
  status: [cli, 'status'],
};

export async function measureCommands(): Promise<void> {
  const stage = await setStage({ window: 'sliding', max: 100, perMs: 60_000 }, 1);
  try {
    const file = join(stage.folder, 'small.yaml');
    const groups = `groups: [{ id: vip, identifier: ${jidOf(0)}, every: 7d }]`;
    writeFileSync(file, `instances: [{ name: bot, tokenEnv: TOKEN }]\n${groups}\n`);
    const env = { PATH: process.env.PATH, REDIS_URL: `unix://${stage.redisPath}`, ROTATOR_CONFIG: file };
    const runs = new Map<string, Usage[]>(Object.keys(commands).map((name) => [name, []]));
    for (let round = 0; round <= rounds; round++)
      for (const [name, args] of Object.entries(commands)) {
        const usage = await run(args, name.endsWith('without Redis') ? { ...env, REDIS_URL: undefined } : env);
        // The first round fills the caches of the file system.
        if (round > 0) runs.get(name)?.push(usage);
      }
    print(runs);
  } finally {
    await stage.close();
  }
}

interface Usage {
  readonly wallMs: number;
  readonly cpuMs: number;
}

async function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Usage> {
  const [from, cpuBefore] = [performance.now(), childrenMs()];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${args.join(' ')} failed`);
  return { wallMs: performance.now() - from, cpuMs: childrenMs() - cpuBefore };
}

/** The CPU time of all children that have ended, as Linux accounts it, in steps of 10 ms. */
function childrenMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

function print(runs: ReadonlyMap<string, readonly Usage[]>): void {
  const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  const medians = [...runs].map(([name, usages]) => ({
    name,
    wallMs: median(usages.map(({ wallMs }) => wallMs)),
    // The mean, since one value is too coarse.
    cpuMs: usages.reduce((sum, usage) => sum + usage.cpuMs, 0) / usages.length,
  }));
  const [empty] = medians;
  if (empty === undefined) return;
  const rows = medians.map(({ name, wallMs, cpuMs }) => [
    name,
    `${wallMs.toFixed(0)} ms`,
    `${(wallMs / empty.wallMs).toFixed(2)} x`,
    `${cpuMs.toFixed(0)} ms`,
    `${(cpuMs / empty.cpuMs).toFixed(2)} x`,
  ]);
  console.log(`${markdownTable(['', 'start to end', '', 'CPU', ''], rows)}\n`);
}
