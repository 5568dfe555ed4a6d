/** `npm run bench:planner`: the cost of ticks, loads and edits of up to 100,000 groups, and of 200 instances. */
import { markdownTable } from '../support/table.ts';
import { instances, measureInstances } from './instances.ts';
import { measureManyInstances } from './manyInstances.ts';
import { measureTicks, type TickCosts } from './ticks.ts';

const isShort = process.argv.includes('--ticks');
const sizes = isShort ? [100] : [100, 1_000, 10_000, 100_000];
const costs: TickCosts[] = [];
for (const size of sizes) costs.push(await measureTicks(size));
const [base] = costs;
const ms = (value: number) => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
const ratio = (value: number, of: number | undefined) => (of === undefined ? '' : `${(value / of).toFixed(2)} x`);
const head = [
  'groups',
  'load the file',
  'edit one group',
  'commands',
  'idle tick',
  'commands',
  '10 due',
  '',
  'commands',
  'heap',
];
const rows = costs.map((cost) => [
  cost.groups.toLocaleString('en-US'),
  ms(cost.loadMs),
  ms(cost.editMs),
  String(cost.editCommands),
  ms(cost.idleTickMs),
  String(cost.idleCommands),
  ms(cost.dueTickMs),
  ratio(cost.dueTickMs, base?.dueTickMs),
  String(cost.dueCommands),
  `${cost.heapMb.toFixed(0)} MB`,
]);
console.log(markdownTable(head, rows));

const many = [];
for (const tokens of ['own', 'shared'] as const) {
  for (const count of [1, 2_000]) many.push(await measureManyInstances(count, tokens));
}
console.log('\nA round trip of 2 ms to Redis\n');
console.log(
  markdownTable(
    ['instances', 'tokens', 'idle tick', 'commands', 'all due', 'released', 'event loop blocked'],
    many.map((cost) => [
      ...[cost.instances.toLocaleString('en-US'), cost.tokens, ms(cost.idleMs), String(cost.idleCommands)],
      ...[ms(cost.dueMs), String(cost.released), ms(cost.blockedMs)],
    ]),
  ),
);
if (isShort) process.exit(0);

const bare = await measureInstances('bare workers');
const ours = await measureInstances('invite-rotator');
console.log(`\n${instances} instances in one process\n`);
console.log(
  markdownTable(
    ['', 'connections', 'CPU at rest', 'memory', 'rotations a second', ''],
    [bare, ours].map((cost) => [
      cost.what,
      String(cost.connections),
      `${(cost.idleCpu * 100).toFixed(1)} % of a core`,
      `${cost.rssMb.toFixed(0)} MB`,
      cost.rotationsPerSecond.toFixed(0),
      ratio(cost.rotationsPerSecond, bare.rotationsPerSecond),
    ]),
  ),
);
process.exit(0);
