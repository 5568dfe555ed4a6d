/**
 * Waits for the results of one-offs and prints each as it comes. What has no result when the wait ends stays queued, and
 * is called `waiting`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readGate } from '../budget/gate.ts';
import { pausedQueues } from '../bullmq/counts.ts';
import { NoResultError } from '../bullmq/wait.ts';
import type { OneOff, Requester } from '../client/requests.ts';
import { formatSome } from '../config/problems.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import type { RotationResult } from '../contract/request.ts';
import { readLiveWorkers } from '../groups/files.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { withoutCommand } from '../redis/errors.ts';
import { Interrupted, signalCodes } from './output.ts';
import { type Progress, showProgress, writePlain } from './progress.ts';

export interface Waiting extends Database {
  readonly requester: Requester;
  readonly json: boolean;
  /** Aborted at `--timeout` or by a signal. */
  readonly signal: AbortSignal;
  /** How long the requests will probably take. Null: unknown. */
  readonly takesMs: number | null;
}

export interface Pushed {
  readonly oneOff: OneOff;
  readonly result: Promise<RotationResult>;
}

/** `--timeout` is over. */
export class TimedOut extends Error {
  override readonly name = 'TimedOut';
  readonly timeout: string;

  constructor(timeout: string) {
    super(`not done within ${timeout}`);
    this.timeout = timeout;
  }
}

type Line =
  | { group: string; status: 'queued'; job: string }
  | { group: string; status: 'failed'; error: string }
  | { group: string; status: 'waiting'; why: string }
  | RotationResult;

type End = 'done' | 'failed' | 'waiting';

/** Returns the exit code. Rejects with an `Interrupted` if a signal ended the wait. */
export async function waitForAll(waiting: Waiting, pushed: readonly Pushed[]): Promise<number> {
  const progress = showProgress(pushed.length, waiting.takesMs);
  const pending = new Set(pushed.map(({ oneOff }) => oneOff));
  const watch = watchDelays(waiting, pending, progress);
  try {
    const ends = await Promise.all(
      pushed.map(async (one) => {
        const end = await waitForOne(waiting, one, progress);
        if (end === 'waiting') return end;
        pending.delete(one.oneOff);
        progress.step(end === 'done');
        return end;
      }),
    );
    progress.stop();
    return conclude(waiting, pending, ends);
  } finally {
    watch.stop();
    progress.stop();
  }
}

async function waitForOne(waiting: Waiting, { oneOff, result }: Pushed, progress: Progress): Promise<End> {
  const { group } = oneOff;
  const show = (line: Line) => printLine(waiting.json, line, progress.write);
  try {
    await show(await result);
    return 'done';
  } catch (error) {
    if (error instanceof TimedOut) {
      await show({ group, status: 'waiting', why: await explain(waiting, oneOff, error) });
      return 'waiting';
    }
    if (error instanceof Interrupted) {
      // A person who ended the wait gets one line for all.
      if (waiting.json) await show({ group, status: 'waiting', why: 'interrupted; the request stays queued' });
      return 'waiting';
    }
    if (error instanceof NoResultError && error.why === 'paused') {
      await show({ group, status: 'waiting', why: error.message });
      return 'waiting';
    }
    await show({ group, status: 'failed', error: withoutCommand(error).message });
    return 'failed';
  }
}

function conclude({ signal, json }: Waiting, pending: ReadonlySet<OneOff>, ends: readonly End[]): number {
  const names = [...pending].map(({ group }) => group);
  if (signal.reason instanceof Interrupted) {
    const { signal: name } = signal.reason;
    if (names.length === 0) return signalCodes[name];
    throw new Interrupted(name, `interrupted: ${stayQueued(names)}`);
  }
  const count = (end: End) => ends.filter((one) => one === end).length;
  if (ends.length > 1 && count('done') < ends.length && !json) {
    const still = names.length === 0 ? '' : `; ${stayQueued(names)}`;
    const counts = `${count('done')} done, ${count('failed')} failed, ${count('waiting')} waiting`;
    process.stderr.write(`${ends.length} groups: ${counts}${still}\n`);
  }
  return count('done') === ends.length ? 0 : 1;
}

const maxNamed = 10;

/** `2 requests stay queued (a, b)`. */
export function stayQueued(groups: readonly string[]): string {
  const names = formatSome(groups, maxNamed);
  return groups.length === 1 ? `1 request stays queued (${names})` : `${groups.length} requests stay queued (${names})`;
}

/** How long Redis may take, after the timeout, to say why a request waits. */
const explainMs = 1_000;

/** What the request waits for. */
async function explain(waiting: Waiting, oneOff: OneOff, { timeout }: TimedOut): Promise<string> {
  const cause = await Promise.race([
    delayOf(waiting, oneOff).catch((refusal) => `: ${withoutCommand(refusal).message}; the request stays queued`),
    sleep(explainMs, ': Redis does not answer; the request stays queued', { ref: false }),
  ]);
  return `no link within ${timeout}${cause}`;
}

async function delayOf(waiting: Waiting, oneOff: OneOff): Promise<string> {
  const { redis, prefix, requester } = waiting;
  const { instance } = oneOff;
  const [paused] = await pausedQueues(redis, prefix, [rotationsQueue(instance)]);
  if (paused !== undefined) return `: the queue ${paused} is paused; the request stays queued`;
  const gate = await readGate(waiting, instance, await redisTime(waiting));
  if (gate !== null) {
    const seconds = Math.ceil(gate.opensInMs / 1000);
    return `: ${instance} is paused for ${seconds} s (${gate.reason}); the request stays queued`;
  }
  const state = await requester.stateOf(oneOff);
  const hint = state === 'waiting' ? ': is the worker running?' : '';
  return `${hint}; the request stays queued (${state})`;
}

const watchEveryMs = 5_000;

/** Says what holds the requests up, once for each cause, so that nobody waits for what will not come. */
function watchDelays(waiting: Waiting, pending: ReadonlySet<OneOff>, progress: Progress): { stop(): void } {
  const reported = new Set<string>();
  const look = async () => {
    const instances = new Set([...pending].map(({ instance }) => instance));
    for (const cause of await causesOf(waiting, [...instances])) {
      if (reported.has(cause) || waiting.signal.aborted || pending.size === 0) continue;
      reported.add(cause);
      await progress.write(process.stderr, `${cause}\n`);
    }
  };
  // While Redis is away, its own message says so.
  const timer = setInterval(() => void look().catch(() => {}), watchEveryMs);
  return { stop: () => clearInterval(timer) };
}

async function causesOf(db: Database, instances: readonly string[]): Promise<string[]> {
  const workers = await readLiveWorkers(db);
  if (workers.length === 0) return ['no worker is running: the requests wait until one starts; Ctrl-C ends the wait'];
  const nowMs = await redisTime(db);
  const gates = await Promise.all(instances.map(async (name) => ({ name, gate: await readGate(db, name, nowMs) })));
  return gates.flatMap(({ name, gate }) =>
    gate === null ? [] : [`${name} is paused (${gate.reason}): its requests wait; Ctrl-C ends the wait`],
  );
}

/** Prints links to stdout, anything else to stderr. With `json`, prints everything to stdout, one object a line. */
export async function printLine(json: boolean, line: Line, write: Progress['write'] = writePlain): Promise<void> {
  const { group, status } = line;
  if (json) await write(process.stdout, `${JSON.stringify(line)}\n`);
  else if ('error' in line) await write(process.stderr, `${group}  failed  ${line.error}\n`);
  else if ('why' in line) await write(process.stderr, `${group}  waiting  ${line.why}\n`);
  else if ('inviteLink' in line) {
    await write(process.stdout, `${group}  ${status}  ${line.inviteLink}\n`);
    if (line.replacedAt !== undefined) await write(process.stderr, `${group}: ${replacedText(line)}\n`);
  } else await write(process.stdout, `${group}  queued  job ${line.job}\n`);
}

/** Why a request that names a link needs no reset. */
export function replacedText({ replacedAt, replacedReason, replacedRequest }: Partial<RotationResult>): string {
  const at = replacedAt ? ` at ${replacedAt}` : '';
  const details = [replacedReason, replacedRequest?.reason, replacedRequest?.requestedBy].filter(Boolean);
  return `the link in the request was replaced${at}${details.length === 0 ? '' : ` (${details.join(', ')})`}`;
}
