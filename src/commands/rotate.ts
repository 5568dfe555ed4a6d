/**
 * `invite-rotator rotate`: pushes one-off rotations and, with `--wait`, prints the new links. Groups are found in Redis,
 * where the workers have registered them. Groups that no worker has registered yet are looked up in the file.
 */
import { setMaxListeners } from 'node:events';
import { pausedQueues } from '../bullmq/counts.ts';
import { RotationError } from '../client/error.ts';
import { createRequester, type OneOff, type Requester, type Target } from '../client/requests.ts';
import { unknownGroup } from '../client/unknownGroup.ts';
import type { Config, GroupConfig } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { rotationsQueue } from '../contract/queueNames.ts';
import { codeIn } from '../groups/jids.ts';
import { replacedFields } from '../groups/revisions.ts';
import { openConnection } from '../redis/connectionOptions.ts';
import type { Database } from '../redis/database.ts';
import { refusalOf, withoutCommand } from '../redis/errors.ts';
import { pausedText } from '../status/format.ts';
import { flushTraces } from '../tracing/spans.ts';
import { confirm, isInteractive, terminal } from './confirm.ts';
import {
  CommandError,
  type CommonOptions,
  configFile,
  durationOption,
  invoker,
  readConfig,
  readRedisConfig,
  stopSignal,
  withRedis,
} from './context.ts';
import { countOf, estimate, timeText } from './estimate.ts';
import { Interrupted, type StopSignal, signalCodes } from './output.ts';
import { printLine, replacedText, stayQueued, TimedOut, waitForAll } from './waiting.ts';

export interface RotateOptions extends CommonOptions {
  readonly all?: boolean;
  readonly reason?: string;
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly yes?: boolean;
}

/** More groups than this are rotated only after a confirmation. */
const maxUnasked = 10;

export async function rotate(names: readonly string[], options: RotateOptions): Promise<number> {
  const { all, wait, timeout } = options;
  if (names.length === 0 && !all) throw new CommandError(2, 'name the groups to rotate, or --all');
  if (names.length > 0 && all) throw new CommandError(2, 'name the groups to rotate, or --all, not both');
  const timeoutMs = timeout === undefined ? null : durationOption('--timeout', timeout, '60s or 5m');
  const isAsked = !options.yes && (all === true || new Set(names).size > maxUnasked);
  if (isAsked && !isInteractive(terminal)) {
    const what = all ? 'rotate --all replaces every link' : `${new Set(names).size} groups are more than ${maxUnasked}`;
    throw new CommandError(2, `${what}: there is no terminal to ask for confirmation on; add --yes`);
  }
  const config = all ? await readConfig(options) : null;
  const redisConfig = config?.redis ?? (await readRedisConfig(options));

  const limit = createLimit(timeoutMs, timeout);
  const pushed: OneOff[] = [];
  let isPushed = false;
  const act = async (db: Database) => {
    const connection = openConnection(db.redis);
    const requester = createRequester(db, connection.duplicate);
    const requests = { ...db, requester, options, signal: limit.signal };
    try {
      const load = async () => config ?? (await readConfig(options));
      const targets = await findAll(requester, config?.groups.map(({ id }) => id) ?? names, load);
      const isLong = targets.length > 1 && (isAsked || wait === true);
      const takesMs = isLong ? await estimateAll(db, targets, config, options) : null;
      if (isAsked && targets.length > 0) {
        if (!(await confirm(question(targets, takesMs, all === true), terminal, limit.signal))) {
          throw new CommandError(1, 'nothing was queued');
        }
        limit.restart();
      }
      const results = await pushAll(requests, targets, pushed);
      isPushed = true;
      if (!wait)
        return await printQueued(
          requests,
          results.map(({ oneOff }) => oneOff),
        );
      if (isLong) process.stderr.write(`${targets.length} groups: this takes ${timeText(takesMs)}\n`);
      return await waitForAll({ ...requests, json: options.json === true, takesMs }, results);
    } finally {
      requester.close();
      void connection.close();
    }
  };
  const work = withRedis(redisConfig, act, { writes: true });
  try {
    return await Promise.race([work, abortedWithoutPush(limit.signal, pushed, () => isPushed)]);
  } finally {
    await flushTraces();
  }
}

interface Requests extends Database {
  readonly requester: Requester;
  readonly options: RotateOptions;
  readonly signal: AbortSignal;
}

/** The longest time that a timer can wait. */
const maxTimerMs = 2 ** 31 - 1;

/** Ends the command when `--timeout` is over, or at a signal. `restart`: the time begins again. */
function createLimit(timeoutMs: number | null, timeout = ''): { readonly signal: AbortSignal; restart(): void } {
  const controller = new AbortController();
  const { signal } = controller;
  setMaxListeners(0, signal);
  let timer: NodeJS.Timeout | undefined;
  const restart = () => {
    clearTimeout(timer);
    if (timeoutMs === null) return;
    const expire = () => controller.abort(new TimedOut(timeout));
    timer = setTimeout(expire, Math.min(timeoutMs, maxTimerMs));
  };
  void stopSignal((name) => signalCodes[name]).then((name: StopSignal) => controller.abort(new Interrupted(name)));
  restart();
  return { signal, restart };
}

/** Rejects if the command is ended before Redis has accepted all requests. Never resolves. */
function abortedWithoutPush(signal: AbortSignal, pushed: readonly OneOff[], isPushed: () => boolean): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      if (isPushed()) return;
      const queued = pushed.length === 0 ? 'nothing was queued' : stayQueued(pushed.map(({ group }) => group));
      const { reason } = signal;
      if (reason instanceof Interrupted) return reject(new Interrupted(reason.signal, `interrupted: ${queued}`));
      reject(reason instanceof TimedOut ? new CommandError(1, notAccepted(reason)) : reason);
    });
  });
}

function notAccepted({ timeout }: TimedOut): string {
  return `Redis did not accept the requests within ${timeout}`;
}

/** The file is only needed for its limits, so a problem in it does not matter. */
async function estimateAll(
  db: Database,
  targets: readonly Target[],
  config: Config | null,
  options: CommonOptions,
): Promise<number | null> {
  const loaded = config === null ? await loadConfig(configFile(options)) : null;
  const known = config ?? (loaded?.ok ? loaded.config : null);
  return await estimate(
    db,
    targets.map(({ instance }) => instance),
    known,
  );
}

function question(targets: readonly Target[], takesMs: number | null, isAll: boolean): string {
  const counts = [...countOf(targets.map(({ instance }) => instance))];
  const [first = ['', 0]] = counts;
  const instances = counts.length === 1 ? first[0] : counts.map(([name, count]) => `${name}: ${count}`).join(', ');
  return (
    `Rotate the links of ${isAll ? 'all ' : ''}${targets.length} groups (${instances}) now? ` +
    `Every current link stops working. This takes ${timeText(takesMs)}.`
  );
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

/** Adds to `pushed` what Redis has accepted. */
async function pushAll({ requester, options, signal }: Requests, targets: readonly Target[], pushed: OneOff[]) {
  const { reason, wait } = options;
  const info = { requestedBy: invoker(), ...(reason === undefined ? {} : { reason }) };
  try {
    return await Promise.all(
      targets.map(async (target) => {
        const oneOff = await requester.prepare(target, info);
        const result = wait ? requester.resultOf(oneOff, signal) : new Promise<never>(() => {});
        await requester.push(oneOff);
        pushed.push(oneOff);
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
async function printQueued({ redis, prefix, options }: Requests, pushed: readonly OneOff[]): Promise<number> {
  const queues = new Set(pushed.map(({ instance }) => rotationsQueue(instance)));
  for (const name of await pausedQueues(redis, prefix, [...queues])) process.stderr.write(`${pausedText(name)}.\n`);
  for (const { group, jobId, replaced } of pushed) {
    await printLine(options.json === true, { group, status: 'queued', job: jobId });
    if (replaced !== null) process.stderr.write(`${group}: ${replacedText(replacedFields(replaced))}\n`);
  }
  return 0;
}
