/**
 * A worker is killed between every two of its steps: after a command has taken effect in Redis and before its reply,
 * when its call reaches the API, and when that call has taken effect. Another worker replaces it. From outside, nothing
 * must have happened: one reset, one event, one answer. (Dying before a command is the same as dying after the previous
 * one; commands that only read are omitted.)
 */
import type { Job } from 'bullmq';
import { expect, it } from 'vitest';
import { logged, type Run } from '../support/cli.ts';
import { type CommandProxy, createCommandProxy, type Moment } from '../support/commandProxy.ts';
import { testRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { type CrashOptions, jids, makeRig } from './rig.ts';

type Rig = Awaited<ReturnType<typeof makeRig<CommandProxy>>>;
type Death = Moment | { readonly api: 'arrival' | 'effect' };

interface Scenario {
  readonly options?: CrashOptions;
  /** Runs with the worker that will die. If absent, the worker dies while it starts. */
  readonly prepare?: (rig: Rig) => Promise<unknown>;
  /** null: no one-off is pushed. */
  readonly ask: ((rig: Rig) => Promise<Job>) | null;
  /** How the one-off ends. Default: `completed`. */
  readonly end?: 'failed';
  /** Whose events count. Default: the first group, whose adoption counts if it has no reset. */
  readonly group?: string;
  /** Resets that are made, and as many events. Default: 1; 0: its link is only read and published. null: any number. */
  readonly resets?: 0 | 1 | null;
  /** The reason of the new link if it was read back, and if it was not; of a failure. */
  readonly reasons: readonly string[];
  /** In the order in which they come. */
  readonly commands: readonly (readonly [command: string, nth: number])[];
  readonly deaths?: readonly Death[];
}

const jid = jids[0]!;
/** Processes that start at once. */
const atOnce = 6;

async function die(scenario: Scenario, death: Death): Promise<void> {
  const rig = await makeRig(testRedis(), createCommandProxy, scenario.options);
  const resets = () => rig.standIn.log.of({ endpoint: 'reset', jid });
  const { group = scenario.resets === 0 ? 'g0' : null } = scenario;
  const events = () => (group === null ? rig.eventsOf(0) : rig.events.filter((event) => event.group === group));
  let worker: Run | null = null;
  if (scenario.prepare !== undefined) {
    worker = rig.start();
    await logged(worker, 'started');
    await rig.adopted(...jids.keys());
    await scenario.prepare(rig);
    await until('the events of that', () => scenario.resets === null || events().length === resets().length);
  }
  const [resetsBefore, eventsBefore] = [resets().length, events().length];
  let reached = false;
  if ('api' in death) rig.standIn.faults.next(faultFor(death.api), { endpoint: 'reset', jid });
  else void rig.proxy.cutAt(death).then(() => (reached = true));
  const mortal = worker ?? rig.start();
  const asked = await scenario.ask?.(rig);
  const apiReached = () => {
    const request = resets()[resetsBefore];
    return 'api' in death && request !== undefined && (death.api === 'arrival' || request.effect !== null);
  };
  await until(
    () => `${name(death)}; the worker wrote:\n${mortal.stdout}`,
    () => reached || apiReached(),
  );
  mortal.child.kill('SIGKILL');
  await mortal.ended;

  const next = rig.start();
  if (asked !== undefined) {
    const end = await until(`an answer after ${name(death)}`, () => endOf(asked));
    expect(end, name(death)).toBe(scenario.end ?? 'completed');
  }
  await until(`an event after ${name(death)}`, () => events().length > eventsBefore);
  const { resets: made = 1 } = scenario;
  if (made !== 0) await rig.expectLive(0);
  if (made !== null) expect(resets(), name(death)).toHaveLength(resetsBefore + made);
  const told = events().slice(eventsBefore);
  expect(told, name(death)).toHaveLength(1);
  expect(scenario.reasons, name(death)).toContain(told[0]?.reason);
  await logged(next, 'started');
  next.child.kill('SIGTERM');
  expect(await next.ended, name(death)).toBe(0);
}

function faultFor(moment: 'arrival' | 'effect') {
  return moment === 'arrival' ? ({ kind: 'slow', ms: 300 } as const) : ({ kind: 'silence', effectAfterMs: 0 } as const);
}

async function endOf(job: Job): Promise<string | null> {
  const state = await job.getState();
  return state === 'completed' || state === 'failed' ? state : null;
}

function name(death: Death): string {
  if ('api' in death) return `death at the API's ${death.api}`;
  return `death at ${death.command} (${death.nth})`;
}

async function dieAtEach(scenario: Scenario): Promise<void> {
  const { commands, deaths = [] } = scenario;
  const left = [...commands.map(([command, nth]): Death => ({ command, nth })), ...deaths];
  const takeTurns = async () => {
    for (let death = left.shift(); death !== undefined; death = left.shift()) await die(scenario, death);
  };
  await Promise.all(Array.from({ length: atOnce }, takeTurns));
}

const timeout = { timeout: 300_000 };

it('rotates once, whenever it dies in a one-off', timeout, async () => {
  await dieAtEach({
    prepare: (rig) => rig.rotate('g0'),
    ask: (rig) => rig.ask('g0'),
    reasons: ['request', 'recovery'],
    commands: [
      ['moveToActive', 1],
      ['acquire', 1],
      ['save', 1],
      ['save', 2],
      ['settle', 1],
      ['peek', 1],
      ['addStandardJob', 1],
      ['ack', 1],
      ['updateProgress', 1],
      ['moveToFinished', 1],
    ],
    deaths: [{ api: 'arrival' }, { api: 'effect' }],
  });
});

it('fails once, with one event, whenever it dies in a one-off that fails', timeout, async () => {
  await dieAtEach({
    options: { groups: jids.map((one) => ({ jid: one, admins: [], members: ['bot'] })) },
    prepare: () => Promise.resolve(),
    ask: (rig) => rig.ask('g0'),
    end: 'failed',
    resets: null,
    reasons: ['request'],
    commands: [
      ['save', 2],
      ['save', 3],
      ['peek', 1],
      ['addStandardJob', 1],
      ['ack', 1],
      ['updateProgress', 1],
      ['moveToFinished', 1],
    ],
  });
});

it('fails once, with one event, whenever it dies in a one-off for a group that no file has', timeout, async () => {
  await dieAtEach({
    prepare: () => Promise.resolve(),
    ask: (rig) => rig.ask('nobody'),
    end: 'failed',
    group: 'nobody',
    resets: 0,
    reasons: ['request'],
    commands: [
      ['incr', 1],
      ['append', 1],
      ['peek', 1],
      ['addStandardJob', 1],
      ['ack', 1],
      ['updateProgress', 1],
      ['moveToFinished', 1],
    ],
  });
});

it.each([
  ['g0', 'of another WhatsApp group'],
  ['nobody', 'of a group that was unknown before'],
])('fails once if %s is the id %s when its job runs again', async (asked) => {
  const groups = jids.map((one, i) => (i === 0 ? { jid: one, admins: [], members: ['bot'] } : { jid: one }));
  const rig = await makeRig(testRedis(), createCommandProxy, { groups });
  const mortal = rig.start();
  await logged(mortal, 'started');
  await rig.adopted(...jids.keys());
  const died = rig.proxy.cutAt({ command: 'addStandardJob', nth: 1 });
  const job = await rig.ask(asked);
  await died;
  mortal.child.kill('SIGKILL');
  await mortal.ended;

  rig.edit(`{ id: ${asked}, identifier: "${jids[1]}" }`);
  const next = rig.start();
  expect(await rig.end(job)).toBe('failed');
  expect(rig.standIn.log.of({ endpoint: 'reset', jid: jids[1]! })).toEqual([]);
  // The job may have ended before the worker was killed.
  await logged(next, 'started');
  next.child.kill('SIGTERM');
  expect(await next.ended).toBe(0);
  expect(rig.events.filter(({ type }) => type === 'rotation.failed')).toHaveLength(1);
});

it('publishes the link of a new group once, whenever it dies before its code is resolved', timeout, async () => {
  await dieAtEach({
    options: { groups: [{ jid, code: 'CODE0000000' }], groupsYaml: '{ id: g0, identifier: CODE0000000 }' },
    ask: null,
    resets: 0,
    reasons: ['adopted'],
    commands: [
      ['save', 1],
      ['postpone', 1],
      ['moveToActive', 2],
      ['acquire', 1],
      ['save', 2],
      ['save', 3],
      ['settle', 1],
      ['peek', 1],
      ['addStandardJob', 1],
      ['ack', 1],
    ],
  });
});

it('reads the link back once more, whenever it dies after an answer was lost', timeout, async () => {
  await dieAtEach({
    prepare: async (rig) => {
      await rig.rotate('g0');
      rig.standIn.faults.next({ kind: 'silence', effectAfterMs: 0 }, { endpoint: 'reset', jid });
    },
    ask: (rig) => rig.ask('g0'),
    reasons: ['recovery'],
    commands: [
      ['save', 2],
      ['settle', 1],
      ['acquire', 2],
      ['save', 3],
      ['save', 4],
      ['settle', 2],
      ['peek', 1],
    ],
  });
});

it('rotates a due group once, whenever it dies during its start or a tick', timeout, async () => {
  await dieAtEach({
    options: {
      groups: [{ jid, code: 'CODE0000000' }],
      groupsYaml: '{ id: g0, identifier: CODE0000000, firstSeen: rotate }',
    },
    ask: null,
    reasons: ['schedule', 'recovery'],
    commands: [
      ['save', 1],
      ['hset', 1],
      ['postpone', 1],
      ['moveToActive', 1],
      ['save', 2],
      ['save', 3],
      ['save', 4],
      ['save', 5],
      ['settle', 2],
      ['addStandardJob', 2],
      ['ack', 1],
      ['moveToFinished', 1],
    ],
  });
});
