/** Real workers for one test, which reach Redis through a proxy, and the observations from outside that tests assert. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Job, type JobsOptions, Queue, Worker } from 'bullmq';
import { expect, onTestFinished } from 'vitest';
import { type StandInOptions, startStandIn } from '../../dev/standin/standIn.ts';
import { type LinkEvent, linkEvent } from '../../src/contract/event.ts';
import type { RedisClient } from '../../src/redis/scripts.ts';
import { type Run, run } from '../support/cli.ts';
import { until } from '../support/until.ts';

const token = 'secret-token-of-this-test';
export const jids = Array.from({ length: 4 }, (_, i) => `1203634062890${String(i).padStart(5, '0')}@g.us`);

/** Where Redis is, for the test itself and, through the proxy, for the workers. */
export interface Place {
  readonly redis: RedisClient;
  readonly prefix: string;
  /** null: `section` names the servers, and there is no proxy. */
  readonly url: string | null;
  /** More of the file's section `redis`. */
  readonly section?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface Proxy {
  readonly port: number;
  close(): Promise<void>;
}

/** For workers that find the primary themselves. */
export const noProxy = () => Promise.resolve({ port: 0, close: () => Promise.resolve() });

export interface CrashOptions extends Partial<StandInOptions> {
  /** YAML of the groups. Default: `g0` to `g3`, none of which is due within the first hour. */
  readonly groupsYaml?: string;
  /** The file's section `verify`. */
  readonly verify?: string;
  /** The file's section `ops`. */
  readonly ops?: string;
  /** More of the file's section `api`, and of the instance. */
  readonly api?: string;
  /** Default: 6s. */
  readonly settleTime?: string;
  readonly instance?: string;
}

export async function makeRig<P extends Proxy>(
  { url, prefix, redis, section = '', env: more = {} }: Place,
  createProxy: (targetPort: number) => Promise<P>,
  {
    groupsYaml,
    verify = 'off',
    ops = 'off',
    // A call that times out on a busy machine is another failure than the tests are about: reads are retried much later.
    api = 'timeout: 5s',
    settleTime = '6s',
    instance = '',
    ...options
  }: CrashOptions = {},
) {
  const standIn = await startStandIn({
    instances: ['bot'],
    tokens: [{ token }],
    groups: jids.map((jid) => ({ jid })),
    ...options,
  });
  const proxy = await createProxy(url === null ? 0 : Number(new URL(url).port));
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-crash-'));
  const file = join(folder, 'rotation.yaml');
  const text = (groups: string) => `api: { baseUrl: "${standIn.url}", settleTime: ${settleTime}, ${api} }
instances: [{ name: bot, tokenEnv: TOKEN${instance} }]
defaults: { every: 1h, firstSeen: wait }
groups: [${groups}]
redis: { prefix: "${prefix}"${section} }
verify: ${verify}
ops: ${ops}`;
  /** Rewrites the file with other groups. */
  const edit = (groups: string) => writeFileSync(file, text(groups));
  edit(groupsYaml ?? jids.map((jid, i) => `{ id: g${i}, identifier: "${jid}" }`).join(', '));
  const events: LinkEvent[] = [];
  const consumer = new Worker(
    'invite-links',
    // biome-ignore lint/suspicious/useAwait: BullMQ wants a promise.
    async (job) => {
      events.push(linkEvent.parse(job.data));
    },
    { connection: redis, prefix },
  );
  consumer.on('error', () => {});
  const queue = new Queue('rotations-bot', { connection: redis, prefix });
  queue.on('error', () => {});
  onTestFinished(async () => {
    await Promise.all([consumer.close(), queue.close()]);
    await proxy.close();
    await standIn.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const env = {
    ...(url === null ? {} : { REDIS_URL: `redis://127.0.0.1:${proxy.port}` }),
    ...{ TOKEN: token, ROTATOR_CONFIG: file, LOG_LEVEL: 'debug' },
    ...more,
  };
  const command = (...args: string[]) => run(args, { env });
  const started: Run[] = [];
  const start = (over: Readonly<Record<string, string>> = {}) => {
    const worker = run(['start'], { env: { ...env, ...over } });
    started.push(worker);
    return worker;
  };
  /** The last lines of each worker, for the errors of tests. */
  const written = () =>
    started.map(({ child, stdout, stderr }) => `worker ${child.pid}:\n${(stdout + stderr).slice(-3_000)}`).join('\n');
  const ticks = (worker: Run) => worker.json().filter(({ event }) => event === 'plan.tick').length;
  const ask = (group: string, jobOptions: JobsOptions = {}) => queue.add('rotate', { group }, jobOptions);
  const end = (job: Job) =>
    until(
      () => `the end of ${JSON.stringify(job.data)}; the workers wrote last:\n${written()}`,
      async () => {
        const state = await job.getState();
        return state === 'completed' || state === 'failed' ? state : null;
      },
    );
  const rotate = async (group: string) => await end(await ask(group));
  const isAdoption = ({ type, reason }: LinkEvent) => type === 'link.changed' && reason === 'adopted';
  /** A group's events after the one that published its link for the first time. */
  const eventsOf = (group: number) => events.filter((event) => event.group === `g${group}` && !isAdoption(event));
  const adopted = (...groups: readonly number[]) =>
    until('the groups to be adopted', () =>
      groups.every((group) => events.some((event) => event.group === `g${group}` && isAdoption(event))),
    );
  /** Every consumer holds the live link. */
  const expectLive = async (group: number) => {
    const own = () => eventsOf(group);
    await until(
      'the newest event to carry the live link',
      () => own().at(-1)?.inviteCode === standIn.codeOf(jids[group]!),
    );
    const revisions = own().map(({ revision }) => revision!);
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    expect(standIn.log.maxResetsInFlight(jids[group]!)).toBe(1);
  };
  return {
    standIn,
    proxy,
    file,
    edit,
    queue,
    eventsOf,
    adopted,
    events,
    command,
    start,
    ticks,
    ask,
    end,
    rotate,
    expectLive,
  };
}
