/**
 * `npm run bench:join`: redirects of stable addresses, at 2,000 a second and as fast as possible, beside a server that
 * redirects to one constant link. Takes about a minute.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startChild } from '../support/process.ts';
import { markdownTable } from '../support/table.ts';
import type { LoadResult } from './load.ts';
import { groups, startStage } from './stage.ts';

const rate = 2_000;
const warmUpSeconds = 2;
const pacedSeconds = 10;
const fastSeconds = 3;

interface Contender {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The address in the line that says that it listens. */
  readonly urlIn: (line: string) => string | null;
}

interface Costs {
  readonly name: string;
  readonly paced: LoadResult;
  /** Share of a core that the server used meanwhile. */
  readonly cpu: number;
  readonly fast: LoadResult;
}

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

async function load(url: string, perSecond: number, seconds: number): Promise<LoadResult> {
  let result: LoadResult | null = null;
  const env = { URL: url, GROUPS: String(groups), RATE: String(perSecond), SECONDS: String(seconds) };
  await startChild(
    [path('./load.js')],
    env,
    (line) => {
      result = JSON.parse(line) as LoadResult;
    },
    () => true,
  );
  if (result === null) throw new Error('the load generator printed no result');
  return result;
}

/** Seconds of CPU that a process has used, as Linux reports them in hundredths. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function measure({ name, args, env, urlIn }: Contender): Promise<Costs> {
  let url = '';
  const child = await startChild(
    args,
    env,
    () => {},
    (line) => {
      url = urlIn(line) ?? url;
      return url !== '';
    },
  );
  await load(url, 0, warmUpSeconds);
  const before = cpuOf(child.pid);
  const paced = await load(url, rate, pacedSeconds);
  const cpu = (cpuOf(child.pid) - before) / pacedSeconds;
  const fast = await load(url, 0, fastSeconds);
  await child.stop();
  return { name, paced, cpu, fast };
}

const stage = await startStage();
const constant: Contender = {
  name: 'node:http, one constant link',
  args: [path('./constant.js')],
  env: {},
  urlIn: (line) => line,
};
const join: Contender = {
  name: 'invite-rotator join',
  args: [path('../../../dist/cli.js'), 'join'],
  env: stage.env,
  urlIn: (line) => (line.includes('"join.listening"') ? (JSON.parse(line) as { url: string }).url : null),
};
const costs: Costs[] = [];
try {
  for (const contender of [constant, join]) costs.push(await measure(contender));
} finally {
  await stage.close();
}

const [base] = costs;
const ratio = (value: number, of: number | undefined) => (of === undefined ? '' : `${(value / of).toFixed(2)} x`);
console.log(`\n${rate} redirects a second for ${pacedSeconds} s, then as fast as answers come for ${fastSeconds} s\n`);
console.log(
  markdownTable(
    ['', 'redirects a second', 'p50', 'p99', 'max', 'CPU', '', 'at most a second', '', 'wrong'],
    costs.map(({ name, paced, cpu, fast }) => [
      name,
      paced.perSecond.toFixed(0),
      `${paced.p50Ms.toFixed(1)} ms`,
      `${paced.p99Ms.toFixed(1)} ms`,
      `${paced.maxMs.toFixed(0)} ms`,
      `${(cpu * 100).toFixed(0)} % of a core`,
      ratio(cpu, base?.cpu),
      fast.perSecond.toFixed(0),
      ratio(fast.perSecond, base?.fast.perSecond),
      String(paced.wrong + fast.wrong),
    ]),
  ),
);
