/**
 * `invite-rotator rotate`: pushes one-off rotations and, with `--wait`, prints the new links. Groups are found in Redis,
 * where the workers have registered them. Groups that no worker has registered yet are looked up in the file.
 */
import { setMaxListeners } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { readGate } from '../budget/gate.ts';
import { pausedQueues } from '../bullmq/counts.ts';
import { RotationError } from '../client/error.ts';
import { createRequester, type OneOff, type Requester, type Target, unknownGroup } from '../client/requests.ts';
import type { Config, GroupConfig } from '../config/config.ts';
import { durationHint, parseDuration } from '../config/duration.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import type { RotationResult } from '../contract/request.ts';
import { codeIn } from '../groups/jids.ts';
import { openConnection } from '../redis/connectionOptions.ts';
import { type Database, redisTime } from '../redis/database.ts';
import { refusalOf, withoutCommand } from '../redis/errors.ts';
import { pausedText } from '../status/format.ts';
import { CommandError, type CommonOptions, readConfig, readRedisConfig, withRedis } from './context.ts';
import { type Progress, showProgress } from './progress.ts';

export interface RotateOptions extends CommonOptions {
  readonly all?: boolean;
  readonly reason?: string;
  readonly wait?: boolean;
  readonly timeout: string;
  readonly yes?: boolean;
}

interface Requests extends Database {
  readonly requester: Requester;
  readonly options: RotateOptions;
  /** Aborted when `--timeout` expires. Null without `--wait`. */
  readonly signal: AbortSignal | null;
}

interface Pushed {
  readonly oneOff: OneOff;
  readonly result: Promise<RotationResult> | null;
}

/** The longest time that a timer can wait. */
const maxTimerMs = 2 ** 31 - 1;

export async function rotate(names: readonly string[], options: RotateOptions): Promise<number> {
  if (names.length === 0 && !options.all) throw new CommandError(2, 'name the groups to rotate, or --all');
  if (names.length > 0 && options.all) throw new CommandError(2, 'name the groups to rotate, or --all, not both');
  const timeoutMs = parseDuration(options.timeout);
  if (timeoutMs === null) {
    throw new CommandError(
      2,
      `--timeout: "${options.timeout}" is not a duration such as 60s or 5m${durationHint(options.timeout)}`,
    );
  }
  const all = options.all ? await readConfig(options) : null;
  if (all !== null && !options.yes && !(await isConfirmed(all.groups.length))) return 1;
  const redisConfig = all?.redis ?? (await readRedisConfig(options));

  const signal = options.wait ? AbortSignal.timeout(Math.min(timeoutMs, maxTimerMs)) : null;
  if (signal !== null) setMaxListeners(0, signal);
  let isPushed = false;
  const act = async (db: Database) => {
    const connection = openConnection(db.redis);
    const requester = createRequester(db, connection.duplicate);
    const requests = { ...db, requester, options, signal };
    try {
      const wanted = all?.groups.map(({ id }) => id) ?? names;
      const targets = await findAll(requester, wanted, async () => all ?? (await readConfig(options)));
      const pushed = await pushAll(requests, targets);
      isPushed = true;
      return options.wait ? await waitForAll(requests, pushed) : await printQueued(requests, pushed);
    } finally {
      requester.close();
      void connection.close();
    }
  };
  const work = withRedis(redisConfig, act, { writes: true });
  if (signal === null) return await work;
  return await Promise.race([work, lateWithoutPush(signal, () => isPushed, options.timeout)]);
}

async function isConfirmed(count: number): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return true;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt.question(
    `Rotate the links of all ${count} groups now? Every current link stops working. [y/N] `,
  );
  prompt.close();
  return /^y(es)?$/i.test(answer.trim());
}

/** Rejects if the timeout expires before Redis has accepted the requests. Never resolves. */
function lateWithoutPush(signal: AbortSignal, isPushed: () => boolean, timeout: string): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      if (!isPushed()) reject(new CommandError(1, `Redis did not accept the requests within ${timeout}`));
    });
  });
}

/** The groups of these names, each once. `load` reads the whole file, which takes seconds with very many groups. */
async function findAll(
  requester: Requester,
  names: readonly string[],
  load: () => Promise<Config>,
): Promise<readonly Target[]> {
  const registered = await Promise.all(names.map((name) => requester.find(name)));
  const missing = names.filter((_, i) => registered[i] === null);
  const targets = registered.filter((target) => target !== null);
  if (missing.length > 0) targets.push(...inFile(missing, await load()));
  // A group that is named by two links has two requests: one of the links may have been replaced.
  return [...new Map(targets.map((target) => [`${target.group} ${target.code ?? ''}`, target])).values()];
}

function inFile(names: readonly string[], { file, groups, groupsById, groupsByJid }: Config): readonly Target[] {
  const byCode = (code: string | null) =>
    groups.find(({ identifier }) => identifier.kind === 'code' && identifier.code === code);
  const found = names.map((name) => groupsById.get(name) ?? groupsByJid.get(name) ?? byCode(codeIn(name)));
  const ids = groups.map(({ id }) => id);
  const problems = names
    .filter((_, i) => found[i] === undefined)
    .map((name) => unknownGroup(name, `not in ${file}`, ids));
  if (problems.length > 0) throw new CommandError(2, problems.join('\n'));
  return found.filter((group) => group !== undefined).map(targetOf);
}

function targetOf({ id, instance, identifier }: GroupConfig): Target {
  const recordId = identifier.kind === 'jid' ? identifier.jid : id;
  return { group: id, instance, recordId, code: null, replaced: null };
}

async function pushAll({ requester, options, signal }: Requests, targets: readonly Target[]): Promise<Pushed[]> {
  const { reason } = options;
  const info = { requestedBy: 'cli', ...(reason === undefined ? {} : { reason }) };
  try {
    return await Promise.all(
      targets.map(async (target) => {
        const oneOff = await requester.prepare(target, info);
        const result = signal && requester.resultOf(oneOff, signal);
        await requester.push(oneOff);
        return { oneOff, result };
      }),
    );
  } catch (error) {
    if (error instanceof RotationError) throw new CommandError(2, error.message);
    if (refusalOf(error) !== null) throw error;
    throw new CommandError(1, `Redis does not accept requests: ${withoutCommand(error).message}`);
  }
}

/** A paused queue accepts requests too, so a warning says that they wait. */
async function printQueued({ redis, prefix, options }: Requests, pushed: readonly Pushed[]): Promise<number> {
  const queues = new Set(pushed.map(({ oneOff }) => rotationsQueue(oneOff.instance)));
  for (const name of await pausedQueues(redis, prefix, [...queues])) process.stderr.write(`${pausedText(name)}.\n`);
  for (const { oneOff } of pushed) print(options, { group: oneOff.group, status: 'queued', job: oneOff.jobId });
  return 0;
}

async function waitForAll(requests: Requests, pushed: readonly Pushed[]): Promise<number> {
  const { options } = requests;
  const progress = showProgress(pushed.length);
  const ends = pushed.map(async ({ oneOff, result }) => {
    try {
      const link = await result;
      if (link !== null) print(options, link, progress);
      progress.step(true);
      return true;
    } catch (error) {
      const message = await explain(requests, oneOff, error);
      print(options, { group: oneOff.group, status: 'failed', error: message }, progress);
      progress.step(false);
      return false;
    }
  });
  try {
    return (await Promise.all(ends)).every(Boolean) ? 0 : 1;
  } finally {
    progress.stop();
  }
}

/** How long Redis may take, after the timeout, to say why a request waits. */
const explainMs = 1_000;

/** A failure's own reason. After a time-out: what the request waits for. */
async function explain(requests: Requests, oneOff: OneOff, error: unknown): Promise<string> {
  const { options, signal } = requests;
  if (!signal?.aborted || error !== signal.reason) return withoutCommand(error).message;
  const cause = await Promise.race([
    delayOf(requests, oneOff).catch((refusal) => `: ${withoutCommand(refusal).message}; the request stays queued`),
    sleep(explainMs, ': Redis does not answer; the request stays queued', { ref: false }),
  ]);
  return `no link within ${options.timeout}${cause}`;
}

async function delayOf(requests: Requests, oneOff: OneOff): Promise<string> {
  const { redis, prefix, requester } = requests;
  const { instance } = oneOff;
  const [paused] = await pausedQueues(redis, prefix, [rotationsQueue(instance)]);
  if (paused !== undefined) return `: the queue ${paused} is paused; the request stays queued`;
  const gate = await readGate(requests, instance, await redisTime(requests));
  if (gate !== null) {
    const seconds = Math.ceil(gate.opensInMs / 1000);
    return `: ${instance} is paused for ${seconds} s (${gate.reason}); the request stays queued`;
  }
  const state = await requester.stateOf(oneOff);
  const hint = state === 'waiting' ? ': is the worker running?' : '';
  return `${hint}; the request stays queued (${state})`;
}

type Line =
  | { group: string; status: 'queued'; job: string }
  | { group: string; status: 'failed'; error: string }
  | { group: string; status: string; inviteLink: string };

/** Prints links to stdout and failures to stderr. With `--json`, prints everything to stdout, one object a line. */
function print({ json }: CommonOptions, line: Line, to: Pick<Progress, 'write'> = plain): void {
  if (json) to.write(process.stdout, `${JSON.stringify(line)}\n`);
  else if ('error' in line) to.write(process.stderr, `${line.group}  failed  ${line.error}\n`);
  else if ('inviteLink' in line) to.write(process.stdout, `${line.group}  ${line.status}  ${line.inviteLink}\n`);
  else to.write(process.stdout, `${line.group}  queued  job ${line.job}\n`);
}

const plain: Pick<Progress, 'write'> = { write: (stream, text) => void stream.write(text) };
