/**
 * `npm run bench:files`: large files. How long loading them takes, what edits cost, and for how long either stops the
 * event loop. A worker with this Redis and this file does the same.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Redis } from 'ioredis';
import type { Config } from '../../src/config/config.ts';
import { type ConfigWatcher, watchConfig } from '../../src/config/watch.ts';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import { syncRegistry } from '../../src/groups/registry.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { startEmbeddedRedis } from '../../src/localRedis/embedded.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { markdownTable } from '../support/table.ts';

const instances = 200;
const included = 100;

interface Cost {
  readonly ms: number;
  /** The longest time for which nothing else ran, ms. */
  readonly blockMs: number;
  /** Commands sent to Redis. */
  readonly commands: number;
}

const sizes = process.argv.slice(2).map(Number);
const rows: string[][] = [];
for (const groups of sizes.length > 0 ? sizes : [10_000, 100_000]) {
  for (const [step, cost] of await measure(groups)) {
    const commands = cost.commands === 0 ? '' : cost.commands.toLocaleString('en-US');
    rows.push([groups.toLocaleString('en-US'), step, ms(cost.ms), ms(cost.blockMs), commands]);
  }
}
console.log(markdownTable(['groups', 'step', 'time', 'longest block', 'commands sent'], rows));
process.exit(0);

function ms(value: number): string {
  return `${value.toLocaleString('en-US', { maximumFractionDigits: 0 })} ms`;
}

async function measure(groups: number): Promise<[string, Cost][]> {
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-bench-'));
  const embedded = await startEmbeddedRedis({ dataDir: folder, env: process.env, say: (line) => console.error(line) });
  const redis = new Redis({ path: resolve(embedded.path), maxRetriesPerRequest: null });
  let sent = 0;
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (...command) => {
    sent++;
    return send(...command);
  };
  const costs: [string, Cost][] = [];
  async function step<T>(name: string, run: () => Promise<T>): Promise<T> {
    const delays = monitorEventLoopDelay({ resolution: 1 });
    delays.enable();
    const [before, from] = [sent, performance.now()];
    const result = await run();
    const ms = performance.now() - from;
    await new Promise((done) => setTimeout(done, 5));
    delays.disable();
    console.error(`${groups} groups, ${name}: ${ms.toFixed(0)} ms`);
    costs.push([name, { ms, blockMs: delays.max / 1e6, commands: sent - before }]);
    return result;
  }

  const db = createDatabase(redis, 'bull');
  const deps = { ...db, store: createGroupStore(db), files: createWorkerFiles(db) };
  const register = async (config: Config) => {
    const file = await groupsFile(config);
    return await syncRegistry(deps, file.groups, await deps.files.announce(file));
  };
  const path = join(folder, 'rotation.yaml');
  const read = async (watcher: ConfigWatcher) => {
    const polled = await watcher.poll({ atOnce: true });
    if (polled.status !== 'changed') throw new Error(JSON.stringify(polled));
    return polled.config;
  };
  try {
    writeFileSync(path, `${main()}groups:\n${list(0, groups)}`);
    const watcher = await step('load and check the file', () => watched(path));
    await step('first registration', () => register(watcher.current));
    const edit = async (name: string, text: string) => {
      writeFileSync(path, text);
      const config = await step(`${name}: read`, () => read(watcher));
      await step(`${name}: register`, () => register(config));
    };
    await edit('one group', `${main()}groups:\n${list(0, groups).replace('every: 30d', 'every: 29d')}`);
    await edit('another default for all', `${main().replace('30d', '28d')}groups:\n${list(0, groups, '')}`);
    if (groups <= 10_000) {
      await edit('all ids', `${main()}groups:\n${list(0, groups).replaceAll('id: g', 'id: h')}`);
      await edit('all to another instance', `${main()}groups:\n${list(0, groups, '', 1).replaceAll('id: g', 'id: h')}`);
    }

    mkdirSync(join(folder, 'groups'));
    const share = groups / included;
    for (let i = 0; i < included; i++)
      writeFileSync(join(folder, 'groups', `${i}.yaml`), `groups:\n${list(i * share, share)}`);
    writeFileSync(path, `${main()}include: groups/*.yaml\n`);
    const parts = await step(`load and check ${included} included files`, () => watched(path));
    writeFileSync(join(folder, 'groups', '7.yaml'), `groups:\n${list(7 * share, share).replace('30d', '29d')}`);
    await step('one of them: read', () => read(parts));
    return costs;
  } finally {
    redis.disconnect();
    await embedded.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function watched(path: string): Promise<ConfigWatcher> {
  const result = await watchConfig(path);
  if (!result.ok) throw new Error(JSON.stringify(result.problems[0]));
  return result.watcher;
}

function main(): string {
  const names = Array.from({ length: instances }, (_, i) => `  - { name: bot${i}, tokenEnv: T${i} }\n`);
  return `instances:\n${names.join('')}defaults: { every: 30d, firstSeen: spread }\n`;
}

function list(first: number, count: number, every = '    every: 30d\n', shift = 0): string {
  const entry = (n: number) =>
    `  - id: g${n}\n    identifier: 120363${String(n).padStart(12, '0')}@g.us\n    instance: bot${(n + shift) % instances}\n${every}`;
  return Array.from({ length: count }, (_, i) => entry(first + i)).join('');
}
