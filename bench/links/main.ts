/**
 * `npm run bench:links [-- --seed N]`: how long consumers hold dead links, by cause, with this program and with a plain
 * BullMQ worker. Both run at the same time, each with a Redis, a stand-in and a consumer of its own, and meet the same
 * seeded arrivals, faults, kills and changes. Takes less than two minutes.
 */
import { parseArgs } from 'node:util';
import { markdownTable } from '../support/table.ts';
import { contenders, hourMs, type Outcome, prepare } from './contest.ts';
import { type DeadFor, summarize } from './deadTime.ts';
import { type Cause, causes, makePlan, settleTimeMs, timeoutMs } from './plan.ts';

const { values } = parseArgs({ options: { seed: { type: 'string' } } });
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!Number.isSafeInteger(seed)) throw new Error(`--seed: "${values.seed}" is not a whole number`);

const forMs = 40_000;
/** BullMQ detects a stalled job after at most two checks, one each 30 s. */
const afterwardsMs = 65_000;

const plan = makePlan(seed, forMs);
const runs = await Promise.all(contenders.map((contender) => prepare(contender, plan)));
const startMs = Date.now() + 1_000;
const outcomes = await Promise.all(runs.map((run) => run.perform(startMs, startMs + forMs + afterwardsMs)));
await Promise.all(runs.map((run) => run.close()));

const seconds = (ms: number) => (ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(1)} s`);
const text = ({ ms, isOver }: DeadFor) => `${isOver ? '' : 'over '}${seconds(ms)}`;
/** A time that is not over makes a ratio an upper or a lower bound. */
function ratio(one: DeadFor, of: DeadFor): string {
  const bound = of.isOver === one.isOver ? '' : of.isOver ? 'over ' : 'under ';
  return of.ms === 0 ? '' : `${bound}${(one.ms / of.ms).toFixed(2)} x`;
}

function rowsOf(cause: Cause): string[][] {
  const [base, ...others] = outcomes.map(({ spans }) => summarize(spans[cause]));
  if (base === undefined) return [];
  return [base, ...others].map((one, i) => [
    i === 0 ? causes[cause] : '',
    contenders[i] ?? '',
    String(one.events),
    text(one.p50),
    ratio(one.p50, base.p50),
    text(one.p99),
    ratio(one.p99, base.p99),
    text(one.worst),
    String(one.stillDead.length),
    one.stillDead.length === 0 ? '' : seconds(one.stillDead[0] ?? 0),
  ]);
}

const scale = 3_600_000 / hourMs;
console.log(
  `Seed ${seed}. The timeout of a call is ${timeoutMs / 1_000} s, the settle time ${settleTimeMs / 1_000} s. Rate limit and
verification run ${scale} times as fast as in production: a verification each hour is one each ${hourMs / 1_000} s here.
Each run ends ${afterwardsMs / 1_000} s after the last event.\n`,
);
const head = ['cause', 'contender', 'dead links', 'p50', '', 'p99', '', 'worst', 'dead at the end', 'longest so far'];
console.log(markdownTable(head, (Object.keys(causes) as Cause[]).flatMap(rowsOf)));
const calls = ({ resets, reads, refused, received }: Outcome) => [resets, reads, refused, received].map(String);
console.log(
  `\n${markdownTable(
    ['', 'resets', 'reads', '429', 'links received'],
    outcomes.map((outcome, i) => [contenders[i] ?? '', ...calls(outcome)]),
  )}`,
);
process.exit(0);
