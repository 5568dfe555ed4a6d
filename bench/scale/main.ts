/**
 * `npm run bench:scale [-- --groups N]`: what groups cost in Redis, and what a rotation does. Simulates 1,000 groups, then
 * ten times as many, up to N (30,000 by default; 1,000,000 takes about twenty minutes and 8 GB of memory).
 */
import { parseArgs } from 'node:util';
import { markdownTable } from '../support/table.ts';
import { measureRotations } from './rotations.ts';
import { maxWithHistory, revisions, type Simulation, simulate } from './simulation.ts';

const { values } = parseArgs({ options: { groups: { type: 'string', default: '30000' } } });
const max = Number(values.groups);
if (!Number.isSafeInteger(max) || max < 1_000)
  throw new Error(`--groups: "${values.groups}" is not a number from 1000`);

const sizes = [1_000, 10_000, 100_000].filter((size) => size < max);
const simulations: Simulation[] = [];
for (const size of [...sizes, max]) {
  simulations.push(await simulate(size, (what) => console.error(`${size} groups: ${what}`)));
}
const count = (value: number) => value.toLocaleString('en-US');
const ms = (value: number) => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
const mb = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

console.log('Groups with one link each, 1,000 a phone; the tick of one worker that serves them all\n');
const head = [
  ...['groups', 'instances', 'register', 'Redis', 'bytes a group', 'idle tick', 'commands'],
  ...['commit', 'commands', 'count by state', 'commands'],
];
console.log(
  markdownTable(
    head,
    simulations.map(({ groups, instances, registerMs, bytes, tick, commit, counts }) => [
      count(groups),
      count(instances),
      `${(registerMs / 1_000).toFixed(1)} s`,
      mb(bytes),
      count(Math.round(bytes / groups)),
      ...[tick, commit, counts].flatMap((cost) => [ms(cost.ms), String(cost.commands)]),
    ]),
  ),
);

for (const { groups, historyBytes } of simulations) {
  if (historyBytes === null) continue;
  const each = historyBytes / groups / (revisions - 1);
  console.log(
    `\nEach further link in the history takes ${each.toFixed(0)} bytes, measured with ${revisions} links of ${count(maxWithHistory)} groups.`,
  );
}

const [largest] = simulations.slice(-1);
console.log(`\nMemory by kind of key, with ${count(largest?.groups ?? 0)} groups\n`);
console.log(
  markdownTable(
    ['kind', 'keys', 'memory', 'bytes a group'],
    (largest?.kinds ?? [])
      .filter(({ bytes }) => bytes > 1_000)
      .map(({ kind, keys, bytes }) => [
        kind,
        count(keys),
        mb(bytes),
        count(Math.round(bytes / (largest?.groups ?? 1))),
      ]),
  ),
);

const { costs, kept } = await measureRotations();
console.log('\nCalls as fast as one worker makes them; Redis, worker, consumer and server share the cores\n');
console.log(
  markdownTable(
    [
      ...['', 'a second', 'Redis', 'commands each', 'scripts each', 'network each', 'Redis time each'],
      'at one core of Redis',
    ],
    costs.map(({ what, perSecond, redisCpu, commands, scripts, kilobytes, redisMs }) => [
      what,
      perSecond.toFixed(0),
      `${(redisCpu * 100).toFixed(0)} % of a core`,
      commands.toFixed(0),
      scripts.toFixed(1),
      `${kilobytes.toFixed(1)} kB`,
      ms(redisMs),
      `${(1_000 / redisMs).toFixed(0)} a second`,
    ]),
  ),
);
console.log(
  `\nKept afterwards: ${kept.eventBytes.toFixed(0)} bytes for a finished event, ${kept.oneOffBytes.toFixed(0)} for a finished one-off, ${kept.handledBytes.toFixed(0)} for each group that a consumer knows.`,
);
process.exit(0);
