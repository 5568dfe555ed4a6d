/** `invite-rotator rotate`: pushes one-off rotations, and waits for the links if asked to. */
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { type Job, Queue, QueueEvents } from 'bullmq';
import { closest } from 'fastest-levenshtein';
import { readGate } from '../budget/gate.ts';
import type { Config, GroupConfig } from '../config/config.ts';
import { parseDuration } from '../config/duration.ts';
import { lookUp } from '../config/lookup.ts';
import { findGroup } from '../groups/find.ts';
import { createGroupStore } from '../groups/store.ts';
import { type RotationRequest, requestJob, rotationResult } from '../queues/request.ts';
import { endOf, NotEndedError } from '../queues/wait.ts';
import { rotationsQueue } from '../redis/keys.ts';
import { redisTime } from '../redis/scripts.ts';
import { isJid } from '../ryze/identifier.ts';
import { CommandError, type CommonOptions, type Connected, readConfig, withRedis } from './context.ts';
import { type Progress, showProgress } from './progress.ts';

export interface RotateOptions extends CommonOptions {
  readonly all?: boolean;
  readonly reason?: string;
  readonly wait?: boolean;
  readonly timeout: string;
  readonly yes?: boolean;
}

/** Each group with the job that was pushed for it. */
interface Pushed {
  readonly group: GroupConfig;
  readonly job: Job;
}

export async function rotate(names: readonly string[], options: RotateOptions): Promise<number> {
  if (names.length === 0 && !options.all) throw new CommandError(2, 'name the groups to rotate, or --all');
  if (names.length > 0 && options.all) throw new CommandError(2, 'name the groups to rotate, or --all, not both');
  const timeoutMs = parseDuration(options.timeout);
  if (timeoutMs === null) throw new CommandError(2, `--timeout: "${options.timeout}" is no duration like 60s or 5m`);
  const config = await readConfig(options);

  return await withRedis(
    config.redis,
    async (connected) => {
      const groups = options.all ? [...config.groups] : await findGroups(connected, config, names);
      if (options.all && !options.yes && !(await confirmed(groups.length))) return 1;

      const queues = new Map<string, Queue>();
      try {
        for (const { instance } of groups) {
          if (queues.has(instance)) continue;
          const queue = new Queue(rotationsQueue(instance), { connection: connected.redis, prefix: connected.prefix });
          queue.on('error', () => {});
          queue.setMaxListeners(0);
          queues.set(instance, queue);
        }
        const pushed = await push(connected, groups, queues, options.reason);
        if (!options.wait) {
          for (const { group, job } of pushed) print(options, { group: group.id, status: 'queued', job: job.id });
          return 0;
        }
        return await waitForAll(connected, pushed, queues, timeoutMs, options);
      } finally {
        await Promise.all([...queues.values()].map((queue) => queue.close()));
      }
    },
    { writes: true },
  );
}

async function findGroups(
  { redis, keys }: Connected,
  config: Config,
  names: readonly string[],
): Promise<GroupConfig[]> {
  const { byId, byJid } = lookUp(config);
  const store = createGroupStore(redis, keys);
  const found = new Map<string, GroupConfig>();
  const unknown: string[] = [];
  for (const name of names) {
    const id = isJid(name) ? (await findGroup(redis, keys, store, name))?.entry.group : name;
    const group = byId.get(id ?? name) ?? byJid.get(name);
    if (group === undefined) unknown.push(name);
    else found.set(group.id, group);
  }
  if (unknown.length === 0) return [...found.values()];
  const ids = config.groups.map(({ id }) => id);
  const lines = unknown.map((name) => {
    const hint = ids.length > 0 && !isJid(name) ? `; did you mean "${closest(name, ids)}"?` : '';
    return `unknown group "${name}": it is not in ${config.file}${hint}`;
  });
  throw new CommandError(2, lines.join('\n'));
}

async function confirmed(count: number): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return true;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt.question(`Rotate the links of all ${count} groups now? Every current link dies. [y/N] `);
  prompt.close();
  return /^y(es)?$/i.test(answer.trim());
}

async function push(
  { redis, keys }: Connected,
  groups: readonly GroupConfig[],
  queues: ReadonlyMap<string, Queue>,
  reason: string | undefined,
): Promise<Pushed[]> {
  const requestedAt = await redisTime(redis, keys);
  return await Promise.all(
    groups.map(async (group) => {
      const data: RotationRequest = {
        group: group.id,
        requestId: randomUUID(),
        requestedBy: 'cli',
        requestedAt,
        ...(reason === undefined ? {} : { reason }),
      };
      return { group, job: (await queues.get(group.instance)?.add(requestJob, data)) as Job };
    }),
  );
}

async function waitForAll(
  connected: Connected,
  pushed: readonly Pushed[],
  queues: ReadonlyMap<string, Queue>,
  timeoutMs: number,
  options: RotateOptions,
): Promise<number> {
  const events = new Map<string, QueueEvents>();
  for (const [instance, queue] of queues) {
    const listener = new QueueEvents(queue.name, { connection: connected.redis, prefix: connected.prefix });
    listener.on('error', () => {});
    listener.setMaxListeners(0);
    events.set(instance, listener);
  }
  const progress = showProgress(pushed.length);
  try {
    const ends = await Promise.all(
      pushed.map(async ({ group, job }) => {
        try {
          const result = rotationResult.parse(await endOf(job, events.get(group.instance) as QueueEvents, timeoutMs));
          print(options, result, progress);
          progress.step(true);
          return true;
        } catch (error) {
          const message = await explain(connected, group, job, error, options.timeout);
          print(options, { group: group.id, status: 'failed', error: message }, progress);
          progress.step(false);
          return false;
        }
      }),
    );
    return ends.every(Boolean) ? 0 : 1;
  } finally {
    progress.stop();
    await Promise.all([...events.values()].map((listener) => listener.close()));
  }
}

/** A failure's own reason; for a time-out, what the request still waits for. */
async function explain(
  { redis, keys }: Connected,
  group: GroupConfig,
  job: Job,
  error: unknown,
  timeout: string,
): Promise<string> {
  if (!(error instanceof NotEndedError)) return error instanceof Error ? error.message : String(error);
  const gate = await readGate(redis, keys, group.instance, await redisTime(redis, keys));
  if (gate !== null) {
    const seconds = Math.ceil(gate.opensInMs / 1000);
    return `no link within ${timeout}: ${group.instance} is left alone for ${seconds} s (${gate.reason}); the request stays queued`;
  }
  const state = await job.getState();
  const hint = state === 'waiting' ? ': is the worker running?' : '';
  return `no link within ${timeout}${hint}; the request stays queued (${state})`;
}

type Line =
  | { group: string; status: 'queued'; job: string | undefined }
  | { group: string; status: 'failed'; error: string }
  | { group: string; status: string; inviteLink: string };

/** Links go to stdout, what went wrong to stderr; with `--json` everything is one object a line on stdout. */
function print({ json }: CommonOptions, line: Line, to: Pick<Progress, 'write'> = plain): void {
  if (json) to.write(process.stdout, `${JSON.stringify(line)}\n`);
  else if ('error' in line) to.write(process.stderr, `${line.group}  failed  ${line.error}\n`);
  else if ('inviteLink' in line) to.write(process.stdout, `${line.group}  ${line.status}  ${line.inviteLink}\n`);
  else to.write(process.stdout, `${line.group}  queued  job ${line.job}\n`);
}

const plain: Pick<Progress, 'write'> = { write: (stream, text) => void stream.write(text) };
