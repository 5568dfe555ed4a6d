/**
 * `npm run bench:budget [-- --real] [--only invite-rotator]`: how well this program and the usual limiters use a token's
 * limit, and how long a one-off waits when the budget is saturated. `--real`: windows of 60 s, as RyzeAPI has them;
 * otherwise of 5 s.
 */
import { parseArgs } from 'node:util';
import { markdownTable } from '../support/table.ts';
import { type Contender, contenders, type Outcome, run } from './contest.ts';
import { latencyContenders, measureLatency } from './latency.ts';

const { values } = parseArgs({ options: { real: { type: 'boolean' }, only: { type: 'string' } } });
const perMs = values.real ? 60_000 : 5_000;
const max = 100;

const rows: string[][] = [];
for (const window of ['sliding', 'fixed'] as const) {
  for (const processes of [1, 3]) {
    for (const contender of contenders) {
      if (values.only !== undefined && contender !== values.only) continue;
      const outcome = await run({ contender, limit: { window, max, perMs }, processes });
      rows.push(rowOf(window, processes, contender, outcome));
      console.error(rows.at(-1)?.join('  '));
    }
  }
}
const head = [
  'window',
  'processes',
  'contender',
  'calls',
  '429',
  'elapsed',
  'ideal',
  'share',
  'needed',
  'denials a call',
];
console.log(`450 calls, ${max} per ${perMs / 1000} s, answers after 20 to 400 ms\n`);
console.log(markdownTable(head, rows));

const waits: string[][] = [];
for (const contender of latencyContenders) {
  if (values.only !== undefined && contender !== values.only) continue;
  const { p50Ms, p99Ms, refused, waiting } = await measureLatency(contender, perMs);
  waits.push([contender, `${p50Ms.toFixed(0)} ms`, `${p99Ms.toFixed(0)} ms`, String(refused), String(waiting)]);
}
console.log('\n100 one-offs, one at a time, while scheduled work saturates the limit: from push to server\n');
console.log(markdownTable(['contender', 'p50', 'p99', '429', 'scheduled, waiting at the end'], waits));

function rowOf(window: string, processes: number, contender: Contender, outcome: Outcome): string[] {
  const { made, refused, elapsedMs, idealMs, meanRoundTripMs, denials } = outcome;
  const needed = values.real ? 0.97 : (0.97 * perMs) / (perMs + meanRoundTripMs);
  return [
    window,
    String(processes),
    contender,
    String(made),
    String(refused),
    `${(elapsedMs / 1000).toFixed(2)} s`,
    `${(idealMs / 1000).toFixed(2)} s`,
    (idealMs / elapsedMs).toFixed(3),
    contender === 'invite-rotator' ? needed.toFixed(3) : '',
    denials === null ? '' : (denials / made).toFixed(2),
  ];
}
