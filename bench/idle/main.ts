/**
 * `npm run bench:idle`: measures the time from start to ready and the memory at rest of the program with 1,000 groups, and
 * of a process with one bare BullMQ worker. With `-- --instances`: see `instances.ts`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { jidOf, type Stage, setStage, token } from '../budget/contest.ts';
import { residentMb } from '../support/measure.ts';
import { type Child, startChild } from '../support/process.ts';
import { markdownTable } from '../support/table.ts';
import { measureCommands } from './commands.ts';
import { measureInstances } from './instances.ts';

const groups = 1_000;
const starts = 9;
/** V8 has collected most garbage of the start by then, more in one process than in another. */
const restMs = 20_000;
/** How many processes of each contender are measured at rest, one after the other. */
const rests = 3;

interface Started {
  readonly child: Child;
  /** The time from the start of the process until it was ready, ms. */
  readonly readyMs: number;
}

/** Starts the bare worker. It is ready once it waits for jobs. */
async function startBare(stage: Stage): Promise<Started> {
  const env = { TOKEN: token, REDIS_PATH: stage.redisPath, API: stage.standIn.url, INSTANCES: '1' };
  const from = performance.now();
  const main = fileURLToPath(new URL('../planner/bare.js', import.meta.url));
  const child = await startChild(
    [main],
    env,
    () => {},
    (line) => line === 'ready',
  );
  return { child, readyMs: performance.now() - from };
}

/** Starts the program. It is ready once `/readyz` answers 200. */
async function startOurs(stage: Stage): Promise<Started> {
  const file = join(stage.folder, 'rotation.yaml');
  const entries = Array.from({ length: groups }, (_, i) => `  - { id: g${i}, identifier: ${jidOf(i)} }`);
  writeFileSync(
    file,
    `api: { baseUrl: "${stage.standIn.url}" }
instances: [{ name: bot, tokenEnv: TOKEN }]
defaults: { every: 7d, firstSeen: wait }
ops: { port: 0 }
groups:
${entries.join('\n')}
`,
  );
  const env = { TOKEN: token, REDIS_URL: `unix://${stage.redisPath}`, ROTATOR_CONFIG: file };
  let url = '';
  const from = performance.now();
  const child = await startChild(
    [fileURLToPath(new URL('../../../dist/cli.js', import.meta.url)), 'start'],
    env,
    (line) => {
      url = (JSON.parse(line) as { url?: string }).url ?? url;
    },
    (line) => line.includes('"started"'),
  );
  while (!(await fetch(`${url}/readyz`)).ok) await sleep(5);
  return { child, readyMs: performance.now() - from };
}

interface Costs {
  /** The first start, on an empty Redis, ms. */
  readonly firstMs: number;
  /** The median of the later starts, ms. */
  readonly againMs: number;
  /** The median of some processes. */
  readonly residentMb: number;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

type Start = (stage: Stage) => Promise<Started>;

/** Starts all of them in turn, so that what else runs on the machine slows all of them. */
async function measure(contenders: readonly Start[]): Promise<Costs[]> {
  const stages: { start: Start; stage: Stage; readonly readyMs: number[]; readonly residentMb: number[] }[] = [];
  try {
    for (const start of contenders)
      stages.push({
        start,
        stage: await setStage({ window: 'sliding', max: 100, perMs: 60_000 }, groups),
        readyMs: [],
        residentMb: [],
      });
    for (let i = 0; i < starts; i++)
      for (const { start, stage, readyMs } of stages) {
        const { child, readyMs: ms } = await start(stage);
        readyMs.push(ms);
        await child.stop();
      }
    // All rest at the same time.
    for (let i = 0; i < rests; i++) {
      const children = await Promise.all(stages.map(({ start, stage }) => start(stage)));
      await sleep(restMs);
      for (const [at, { child }] of children.entries()) {
        stages[at]?.residentMb.push(residentMb(child.pid));
        await child.stop();
      }
    }
    return stages.map(({ readyMs: [firstMs = 0, ...again], residentMb }) => ({
      firstMs,
      againMs: median(again),
      residentMb: median(residentMb),
    }));
  } finally {
    for (const { stage } of stages) await stage.close();
  }
}

if (process.argv.includes('--instances')) {
  await measureInstances();
  process.exit();
}
await measureCommands();
if (process.argv.includes('--commands')) process.exit();
const [bare, ours] = await measure([startBare, startOurs]);
if (bare === undefined || ours === undefined) process.exit(1);
const row = (name: string, costs: Costs) => [
  name,
  `${costs.firstMs.toFixed(0)} ms`,
  `${costs.againMs.toFixed(0)} ms`,
  `${(costs.againMs / bare.againMs).toFixed(2)} x`,
  `${costs.residentMb.toFixed(0)} MB`,
  `${(costs.residentMb / bare.residentMb).toFixed(2)} x`,
];
console.log(
  markdownTable(
    ['', 'first start', 'later starts', '', 'memory at rest', ''],
    [row('a bare worker', bare), row(`invite-rotator, ${groups} groups`, ours)],
  ),
);
