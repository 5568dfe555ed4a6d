/** `npm run bench:status`: the pages of the real server, and the cost of the indexes that they are read from. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createLog } from '../../src/log.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { startOpsServer } from '../../src/ops/server.ts';
import { createStatusReader } from '../../src/status/status.ts';
import { markdownTable } from '../support/table.ts';
import { type CommitCost, measureCommits } from './commits.ts';
import { openStage, type Stage } from './stage.ts';

const sizes = [100, 10_000, 100_000];
const pages = ['/metrics', '/', '/?state=failing&page=2', '/?q=group-77', '/api/status', '/api/status?page=9'];
const runs = 7;

interface PageCost {
  readonly groups: number;
  readonly page: string;
  readonly medianMs: number;
  readonly worstMs: number;
  readonly blockedMs: number;
  readonly kilobytes: number;
}

async function measurePages({ config, ...db }: Stage): Promise<PageCost[]> {
  const health = {
    ...{ stopping: false, redisWriteAgeMs: 0, tickAgeMs: 0, stuck: [], configBroken: false, paused: [] },
    ...{ config: { hash: config.hash, since: Date.now() }, redisTrouble: null },
  };
  const newReader = () => createStatusReader(db, () => config);
  let reader = newReader();
  const server = await startOpsServer({
    ...{ host: '127.0.0.1', port: 0, metrics: createMetrics('0'), health: () => health },
    status: { readAll: () => reader.readAll(), read: (view, size) => reader.read(view, size) },
    instances: () => config.instances.map(({ name }) => name),
    group: () => Promise.resolve(null),
    log: createLog({ level: 'silent', to: process.stderr }),
  });
  const costs: PageCost[] = [];
  for (const page of pages) {
    const times: number[] = [];
    let [blockedMs, kilobytes] = [0, 0];
    // The first answer is not counted: V8 compiles the code for it.
    for (let i = -1; i < runs; i++) {
      // It has read nothing yet that several pages share.
      reader = newReader();
      // It measures how late a timer of one millisecond is.
      const delay = monitorEventLoopDelay({ resolution: 1 });
      delay.enable();
      const from = performance.now();
      const answer = await fetch(new URL(page, server.url));
      const text = await answer.text();
      const ms = performance.now() - from;
      delay.disable();
      if (answer.status !== 200) throw new Error(`${page} answers ${answer.status}: ${text}`);
      if (i < 0) continue;
      times.push(ms);
      blockedMs = Math.max(blockedMs, delay.max / 1e6);
      kilobytes = text.length / 1_000;
    }
    times.sort((a, b) => a - b);
    const [medianMs = 0, worstMs = 0] = [times[Math.floor(runs / 2)], times.at(-1)];
    costs.push({ groups: config.groups.length, page, medianMs, worstMs, blockedMs, kilobytes });
  }
  await server.close();
  return costs;
}

const costs: PageCost[] = [];
const commits: CommitCost[] = [];
for (const size of sizes) {
  const stage = await openStage(size);
  costs.push(...(await measurePages(stage)));
  commits.push(await measureCommits(stage));
  await stage.close();
}
const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
const number = (value: number) => value.toLocaleString('en-US');
console.log(
  markdownTable(
    ['groups', 'page', 'median', 'worst', 'longest block', 'size'],
    costs.map((one) => [
      number(one.groups),
      one.page,
      ms(one.medianMs),
      ms(one.worstMs),
      ms(one.blockedMs),
      `${one.kilobytes.toFixed(0)} kB`,
    ]),
  ),
);
console.log();
console.log(
  markdownTable(
    ['groups', 'indexes', 'commands a rotation', 'a rotation', 'bytes a group'],
    commits.flatMap(({ groups, withIndexes, without, bytes }) => [
      [number(groups), 'yes', withIndexes.commands.toFixed(1), ms(withIndexes.ms), bytes.indexes.toFixed(0)],
      [number(groups), 'no', without.commands.toFixed(1), ms(without.ms), bytes.record.toFixed(0)],
    ]),
  ),
);
process.exit(0);
