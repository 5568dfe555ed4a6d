/** Runs one storm, waits until the program has settled, and checks the history. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { abandonResets, crowd } from './abandon.ts';
import { check, type Finding, notRotated } from './checker.ts';
import { undelivered } from './consumers.ts';
import { deadTimes } from './deadLinks.ts';
import type { History, Incident, SeenEvent } from './history.ts';
import { createRandom, type Random } from './random.ts';
import * as settings from './settings.ts';
import { type Stage, setStage } from './stage.ts';
import { type Counts, noCounts, runFaults } from './weather.ts';

export interface StormOptions {
  readonly cli: string;
  readonly seed: number;
  readonly forMs: number;
  readonly verify: boolean;
  readonly load: settings.Load;
  /** Stop at the first violation, for builds that are broken on purpose. */
  readonly untilViolation: boolean;
  /** Keep the history even if every promise held. */
  readonly keep: boolean;
}

export interface Storm {
  readonly findings: readonly Finding[];
  readonly counts: Counts;
  readonly edits: Readonly<Record<string, number>>;
  readonly calls: number;
  readonly faults: number;
  readonly resets: number;
  readonly rotations: number;
  readonly recoveries: number;
  readonly drifts: number;
  readonly adopted: number;
  readonly failures: number;
  readonly repeats: number;
  readonly oneOffs: number;
  readonly pages: number;
  /** How long consumers held dead links, by cause. */
  readonly deadTimes: readonly string[];
  /** The time from the last incident until every promise held. Null if that never happened. */
  readonly settledAfterMs: number | null;
}

const { settleMs, timeoutMs, verifyMs, deadAfterMs, readAgainMs, releasedAgainMs, marginMs } = settings;
/**
 * The program must have settled after this time: after one verification, or once the file of a killed worker is no longer
 * in force, or after a repeated read.
 */
const maxSettlingMs = settleMs + timeoutMs + Math.max(verifyMs, deadAfterMs, readAgainMs);

/** Two periods: one that the first read may delay, and one until the group is due. */
const restoredMs = 20_000;

export async function storm({
  cli,
  seed,
  forMs,
  verify,
  load,
  untilViolation,
  keep: keeps,
}: StormOptions): Promise<Storm> {
  const random = createRandom(seed);
  const stage = await setStage({ cli, random, verify, load });
  const { oneOffs, standIn, edits } = stage;
  const counts = noCounts();
  const incidents: Incident[] = [];
  let isOver = false;
  let calmAt: number | null = null;

  /** `output` is empty while workers run, because searching it blocks this process for seconds. */
  const history = async (quiet: boolean, output = ''): Promise<History> => ({
    at: Date.now(),
    requests: standIn.log.all,
    events: stage.consumers.events,
    added: stage.consumers.added,
    jobs: await oneOffs.jobs(),
    links: linksOf(stage),
    places: edits.places,
    calmAt,
    instances: edits.file.slots.map(({ name }) => name),
    incidents,
    pauses: stage.fleet.pauses,
    verify,
    limit: load.limit,
    settleMs,
    leaseMs: settings.leaseMs,
    output,
    secrets: [
      ...settings.tokens,
      ...settings.jids.flatMap((jid) => standIn.group(jid).history.map(({ code }) => code)),
    ],
    quiet,
  });
  const summarize = (last: History, findings: readonly Finding[], settledAfterMs: number | null) =>
    summary(last, { findings, counts, edits: edits.counts, pages: stage.pages.texts.length, settledAfterMs });

  let producer: Promise<void> = Promise.resolve();
  try {
    producer = oneOffs.produce();
    const running = runFaultsOn(stage, { random, counts, incidents, forMs, isOver: () => isOver });
    if (untilViolation) {
      // Operations in progress may fail when the storm is stopped early.
      const ended = running.then(
        () => true,
        () => true,
      );
      while (!(await Promise.race([ended, sleep(2_000, false)]))) {
        const findings = check(await history(false));
        if (findings.length > 0) return summarize(await history(false), findings, null);
      }
    }
    await running;
    oneOffs.stop();
    await producer;
    await crowd(stage);
    if (untilViolation) {
      const seen = await history(false);
      const findings = check(seen);
      if (findings.length > 0) return summarize(seen, findings, null);
    }
    const abandoned = await abandonResets(stage);
    incidents.push(...abandoned.incidents);
    counts.kills += settings.workers;
    counts.edits += 1;
    // In every storm: a rotation or an edit would repair what the settler must.
    const early = await abandoned.findings(() => history(false));
    if (untilViolation) return summarize(await history(false), early, null);
    edits.restore();
    await stage.copies.settle(stage.text());
    calmAt = Date.now();
    await restored(() => history(false));
    edits.settle();
    await stage.copies.settle(stage.text());
    const settledAfterMs = await settled(() => history(true));
    await stage.pages.stop();
    const badEnds = await stage.fleet.stop();
    const last = await history(true, [...stage.fleet.output.flat(), ...stage.pages.texts].join(''));
    const findings = [...check(last), ...checkEnd(stage, badEnds, settledAfterMs)];
    if (keeps || findings.length > 0) keep(last, seed, stage, await undelivered(last, stage.port));
    return summarize(last, findings, settledAfterMs);
  } finally {
    oneOffs.stop();
    isOver = true;
    stage.fleet.destroy();
    await producer.catch(() => {});
    await stage.close();
  }
}

interface Running {
  readonly random: Random;
  readonly counts: Counts;
  readonly incidents: Incident[];
  readonly forMs: number;
  readonly isOver: () => boolean;
}

function runFaultsOn(stage: Stage, { forMs, ...running }: Running): Promise<void> {
  const { standIn, fleet, proxy, proxies, edits, copies, oneOffs } = stage;
  return runFaults(
    {
      ...running,
      standIn,
      fleet,
      proxy,
      proxies,
      jids: settings.jids,
      maxEffectDelayMs: settleMs - 500,
      edit() {
        edits.make();
        copies.spread(stage.text());
      },
      shelve() {
        edits.shelve();
        copies.spread(stage.text());
      },
      wipe: oneOffs.wipe,
      refuseWrites: stage.refuseWrites,
      flush: stage.flush,
      async restartRedis() {
        await stage.stopRedis();
        await sleep(running.random.between(200, 2_000));
        if (!running.isOver()) await stage.startRedis();
      },
    },
    forMs,
  );
}

/** Waits until every group was rotated under its last id, or the time for that is over. */
async function restored(history: () => Promise<History>): Promise<void> {
  const until = Date.now() + releasedAgainMs + marginMs + restoredMs;
  while (Date.now() < until && notRotated(await history()).length > 0) await sleep(500);
}

/** Waits until every promise holds twice in a row, so that nothing is in progress. Returns null if that never happened. */
async function settled(history: () => Promise<History>): Promise<number | null> {
  const calmAt = Date.now();
  let settledAfterMs: number | null = null;
  for (let good = 0; good < 2 && Date.now() - calmAt < maxSettlingMs + marginMs + 2_000; ) {
    const findings = check(await history());
    good = findings.length === 0 ? good + 1 : 0;
    if (good === 1) settledAfterMs = Date.now() - calmAt;
    await sleep(500);
  }
  return settledAfterMs;
}

function checkEnd({ pages }: Stage, badEnds: readonly string[], settledAfterMs: number | null): Finding[] {
  const findings: Finding[] = [];
  if (badEnds.length > 0) findings.push({ promise: 'stopped: a worker exits with 0 on SIGTERM', violations: badEnds });
  if (pages.texts.length === 0) findings.push({ promise: 'silent: pages were read', violations: ['none'] });
  if (settledAfterMs === null || settledAfterMs > maxSettlingMs + marginMs) {
    findings.push({ promise: 'settled in time', violations: [`after ${settledAfterMs} ms`] });
  }
  return findings;
}

/** Writes the history and the logs to a folder for investigation. */
function keep(history: History, seed: number, { fleet }: Stage, lost: Record<string, unknown>): void {
  const folder = mkdtempSync(join(tmpdir(), `invite-rotator-storm-${seed}-`));
  writeFileSync(join(folder, 'undelivered.json'), JSON.stringify(lost, null, 2));
  for (const [i, lines] of fleet.output.entries()) writeFileSync(join(folder, `worker-${i}.log`), lines.join(''));
  writeFileSync(join(folder, 'history.json'), JSON.stringify({ ...history, output: '', secrets: [] }));
  console.log(`the history is kept in ${folder}`);
}

function linksOf({ standIn }: Stage): History['links'] {
  const ours = new Set(standIn.log.all.flatMap(({ effect }) => effect?.code ?? []));
  return Object.fromEntries(
    settings.jids.map((jid) => [
      jid,
      standIn.group(jid).history.map(({ code, from }, i) => ({
        code,
        from,
        by: ours.has(code) ? ('us' as const) : i === 0 ? ('start' as const) : ('human' as const),
      })),
    ]),
  );
}

function summary(
  history: History,
  rest: Pick<Storm, 'findings' | 'counts' | 'edits' | 'pages' | 'settledAfterMs'>,
): Storm {
  const { requests, events, jobs } = history;
  const all = Object.values(events);
  const first = all[0] ?? [];
  const of = (test: (event: SeenEvent) => boolean) => new Set(first.filter(test).map(({ id }) => id)).size;
  return {
    ...rest,
    calls: requests.length,
    faults: requests.filter(({ fault }) => fault !== null).length,
    resets: requests.filter(({ endpoint }) => endpoint === 'reset').length,
    rotations: of(({ type }) => type === 'link.rotated'),
    recoveries: of(({ reason, type }) => type === 'link.rotated' && reason === 'recovery'),
    drifts: of(({ reason }) => reason === 'drift'),
    adopted: of(({ reason, type }) => type === 'link.changed' && reason === 'adopted'),
    failures: of(({ type }) => type === 'rotation.failed'),
    repeats: all.reduce((sum, seen) => sum + seen.length - new Set(seen.map(({ id }) => id)).size, 0),
    oneOffs: jobs.length,
    deadTimes: deadTimes(history),
  };
}
