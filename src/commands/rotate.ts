/** `invite-rotator rotate`: pushes one-off rotations, and waits for the links if asked to. */

import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { closest } from 'fastest-levenshtein';
import { readGate } from '../budget/gate.ts';
import { pausedQueues } from '../bullmq/counts.ts';
import { createOneOffs, type ExpectedResult, type OneOff, type OneOffs } from '../client/requests.ts';
import { stampOf } from '../client/stamp.ts';
import type { Config, GroupConfig } from '../config/config.ts';
import { parseDuration } from '../config/duration.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import { findGroup } from '../groups/jids.ts';
import { createGroupStore } from '../groups/store.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { refusalOf, withoutCommand } from '../redis/errors.ts';
import type { RedisClient } from '../redis/scripts.ts';
import { isJid } from '../ryze/identifier.ts';
import { pausedText } from '../status/format.ts';
import { CommandError, type CommonOptions, readConfig, withRedis } from './context.ts';
import { type Progress, showProgress } from './progress.ts';

export interface RotateOptions extends CommonOptions {
  readonly all?: boolean;
  readonly reason?: string;
  readonly wait?: boolean;
  readonly timeout: string;
  readonly yes?: boolean;
}

/** Each group with what was pushed for it. */
interface Pushed {
  readonly group: GroupConfig;
  readonly oneOff: OneOff;
  readonly expected: ExpectedResult | null;
}

interface Waiting extends Database {
  readonly oneOffs: OneOffs;
}

/** The time for `--wait` is over. */
class LateError extends Error {
  override readonly name = 'LateError';
}

/** What Redis is asked when the time is over already, so that there is a reason to tell. */
const explainMs = 1_000;

export async function rotate(names: readonly string[], options: RotateOptions): Promise<number> {
  if (names.length === 0 && !options.all) throw new CommandError(2, 'name the groups to rotate, or --all');
  if (names.length > 0 && options.all) throw new CommandError(2, 'name the groups to rotate, or --all, not both');
  const timeoutMs = parseDuration(options.timeout);
  if (timeoutMs === null) throw new CommandError(2, `--timeout: "${options.timeout}" is no duration like 60s or 5m`);
  const config = await readConfig(options);

  const limit = new AbortController();
  const { signal } = limit;
  setMaxListeners(0, signal);
  let isPushed = false;
  let timer: NodeJS.Timeout | undefined;
  const startClock = () => {
    clearTimeout(timer);
    if (options.wait) timer = setTimeout(() => limit.abort(new LateError()), timeoutMs);
  };
  startClock();
  const act = async (connected: Database) => {
    const groups = options.all ? [...config.groups] : await findGroups(connected, config, names);
    if (options.all && !options.yes) {
      clearTimeout(timer);
      if (!(await confirmed(groups.length))) return 1;
      startClock();
    }

    const { redis } = connected;
    const opened: RedisClient[] = [];
    const oneOffs = createOneOffs({ ...connected, duplicate: () => duplicate(redis, opened) });
    try {
      const pushed = await push(connected, oneOffs, groups, options.wait ? signal : null, options.reason);
      isPushed = true;
      if (options.wait) return await waitForAll({ ...connected, oneOffs }, pushed, options);
      await warnOfPauses(connected, pushed);
      for (const { group, oneOff } of pushed) print(options, { group: group.id, status: 'queued', job: oneOff.jobId });
      return 0;
    } finally {
      oneOffs.close();
      for (const client of opened) client.disconnect();
    }
  };
  const pushing = withRedis(config.redis, act, { writes: true });
  try {
    return await Promise.race([pushing, lateWithoutPush(signal, () => isPushed, options.timeout)]);
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects if the time is over while Redis has not taken the requests; never resolves. */
function lateWithoutPush(signal: AbortSignal, isPushed: () => boolean, timeout: string): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      if (!isPushed()) reject(new CommandError(1, `Redis has not taken the requests within ${timeout}`));
    });
  });
}

/** For reads that block. */
function duplicate(redis: RedisClient, opened: RedisClient[]): RedisClient {
  const client: RedisClient = 'nodes' in redis ? redis.duplicate() : redis.duplicate();
  client.on('error', () => {
    // The connection's own listener tells of outages.
  });
  opened.push(client);
  return client;
}

async function findGroups(db: Database, config: Config, names: readonly string[]): Promise<GroupConfig[]> {
  const store = createGroupStore(db);
  const found = new Map<string, GroupConfig>();
  const unknown: string[] = [];
  for (const name of names) {
    const id = isJid(name) ? (await findGroup(store, name))?.entry.group : name;
    const group = config.groupsById.get(id ?? name) ?? config.groupsByJid.get(name);
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

/** `signal`: ends the waiting for the results; null: nobody waits for them. */
async function push(
  db: Database,
  oneOffs: OneOffs,
  groups: readonly GroupConfig[],
  signal: AbortSignal | null,
  reason: string | undefined,
): Promise<Pushed[]> {
  try {
    const store = createGroupStore(db);
    return await Promise.all(
      groups.map(async (group) => {
        const named = group.identifier.kind === 'jid' ? group.identifier.jid : group.id;
        const recordId = (await findGroup(store, group.id))?.recordId ?? named;
        const request = {
          group: group.id,
          requestId: randomUUID(),
          requestedBy: 'cli',
          ...(await stampOf({ ...db, store }, recordId)),
          ...(reason === undefined ? {} : { reason }),
        };
        const oneOff: OneOff = { jobId: randomUUID(), instance: group.instance, recordId, request };
        const expected = signal && oneOffs.expect(oneOff, signal);
        await oneOffs.push(oneOff);
        expected?.pushed();
        return { group, oneOff, expected };
      }),
    );
  } catch (error) {
    if (error instanceof Error && refusalOf(error) !== null) throw error;
    throw new CommandError(1, `Redis does not take requests now: ${withoutCommand(error).message}`);
  }
}

/** A paused queue takes requests, and nobody answers them. */
async function warnOfPauses({ redis, prefix }: Database, pushed: readonly Pushed[]): Promise<void> {
  const queues = new Set(pushed.map(({ oneOff }) => rotationsQueue(oneOff.instance)));
  for (const name of await pausedQueues(redis, prefix, [...queues])) process.stderr.write(`${pausedText(name)}.\n`);
}

async function waitForAll(waiting: Waiting, pushed: readonly Pushed[], options: RotateOptions): Promise<number> {
  const progress = showProgress(pushed.length);
  try {
    const ends = await Promise.all(
      pushed.map(async (one) => {
        try {
          const result = await one.expected?.result;
          if (result !== undefined) print(options, result, progress);
          progress.step(true);
          return true;
        } catch (error) {
          const message = await explain(waiting, one, error, options.timeout);
          print(options, { group: one.group.id, status: 'failed', error: message }, progress);
          progress.step(false);
          return false;
        }
      }),
    );
    return ends.every(Boolean) ? 0 : 1;
  } finally {
    progress.stop();
  }
}

/** A failure's own reason; for a time-out, what the request still waits for. */
async function explain(waiting: Waiting, one: Pushed, error: unknown, timeout: string): Promise<string> {
  if (!(error instanceof LateError)) return withoutCommand(error).message;
  const unknown = '; the request stays queued';
  const asked = whatHoldsUp(waiting, one).catch((refusal) => `: ${withoutCommand(refusal).message}${unknown}`);
  const silence = sleep(explainMs, `: Redis does not answer${unknown}`, { ref: false });
  return `no link within ${timeout}${await Promise.race([asked, silence])}`;
}

async function whatHoldsUp(waiting: Waiting, { group, oneOff }: Pushed): Promise<string> {
  const { redis, prefix, oneOffs } = waiting;
  const queue = rotationsQueue(group.instance);
  const [paused] = await pausedQueues(redis, prefix, [queue]);
  if (paused !== undefined) return `: the queue ${queue} is paused; the request stays queued`;
  const gate = await readGate(waiting, group.instance, await redisTime(waiting));
  if (gate !== null) {
    const seconds = Math.ceil(gate.opensInMs / 1000);
    return `: ${group.instance} is paused for ${seconds} s (${gate.reason}); the request stays queued`;
  }
  const state = await oneOffs.stateOf(oneOff);
  const hint = state === 'waiting' ? ': is the worker running?' : '';
  return `${hint}; the request stays queued (${state})`;
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
