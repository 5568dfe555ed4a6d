/**
 * The links that stable addresses lead to. Each visitor causes a read of the group's record, so an answer is as fresh as
 * the last commit. All links are remembered as well, also those that nobody has asked for: while Redis cannot be read,
 * the last known ones are served.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../redis/errors.ts';
import { createBatches } from './batches.ts';
import type { Found, Reading } from './records.ts';
import type { LinkSource } from './source.ts';

export type Lookup =
  | { readonly status: 'found'; readonly group: string; readonly inviteLink: string; readonly fromMemory: boolean }
  /** The group is registered, and its first link is not known yet. */
  | { readonly status: 'no_link' }
  | { readonly status: 'unknown_group' }
  /** Neither Redis nor the memory can tell. */
  | { readonly status: 'unavailable' };

export interface LinksState {
  /** Since when remembered links are served, in milliseconds since 1970. Null: links are read from Redis. */
  readonly awaySince: number | null;
  /** Links that are remembered. */
  readonly known: number;
}

export interface Links {
  find(group: string): Promise<Lookup>;
  state(): LinksState;
  /** Resolves when every link is remembered, or Redis cannot be read. */
  readonly ready: Promise<void>;
}

export interface LinksOptions {
  readonly source: LinkSource;
  /** Called when remembered links are served from now on, and when there is a new reason for it. */
  readonly onAway: (why: string, state: LinksState) => void;
  /** Called when links are read from Redis again. */
  readonly onBack: () => void;
  /** Ends the reading. */
  readonly signal: AbortSignal;
}

/** How long a visitor waits for Redis before the remembered link is served. */
const readTimeoutMs = 1_000;
/** Between two looks whether Redis is back, and between two tries to read it. */
const lookMs = 100;
const retryMs = 1_000;
/** Between two rounds, each of which reads every link again, 1,000 links a second. */
const roundMs = 2_000;
const chunk = 250;
const chunkMs = 250;

/** Redis has lost a group that was not removed. A worker restores it, so its link is served for this long. */
const lostMs = 10 * 60_000;

interface Remembered extends Extract<Found, { status: 'registered' }> {
  /** By the steady clock. Null: Redis has the group. */
  readonly lostAt: number | null;
}

export function rememberLinks({ source, onAway, onBack, signal }: LinksOptions): Links {
  const remembered = new Map<string, Remembered>();
  /** Every group has been read once. */
  let isComplete = false;
  let awaySince: number | null = null;
  /** Reasons of this outage that were reported. */
  const reported = new Set<string>();
  let pausing = new AbortController();
  let becomeReady = () => {};
  const ready = new Promise<void>((resolve) => {
    becomeReady = resolve;
  });

  function state(): LinksState {
    const links = [...remembered.values()].filter(({ inviteLink }) => inviteLink !== null);
    return { awaySince, known: links.length };
  }

  function leave(why: string): void {
    awaySince ??= Date.now();
    becomeReady();
    if (reported.has(why) || signal.aborted) return;
    reported.add(why);
    onAway(why, state());
    pausing.abort();
  }

  function comeBack(): void {
    if (awaySince === null) return;
    awaySince = null;
    reported.clear();
    onBack();
  }

  async function readMany(groups: readonly string[]): Promise<Reading['found']> {
    const { isEmpty, found } = await withTimeout(source.read(groups));
    if (isEmpty && remembered.size > 0) throw new Error('it has lost its data');
    for (const [group, one] of found) remember(group, one);
    return found;
  }

  function remember(group: string, found: Found): void {
    if (found.status === 'removed') remembered.delete(group);
    if (found.status !== 'registered') return;
    const known = remembered.get(group);
    // After a loss of its data, Redis has the group again before its link, which the worker must read first.
    const isSame = found.jid !== null && known?.jid === found.jid;
    const inviteLink = found.inviteLink ?? (isSame ? known.inviteLink : null);
    remembered.set(group, { ...found, inviteLink, lostAt: null });
  }

  function lose(group: string, known: Remembered): void {
    const nowMs = performance.now();
    const lostAt = known.lostAt ?? nowMs;
    if (nowMs - lostAt > lostMs) remembered.delete(group);
    else remembered.set(group, { ...known, lostAt });
  }

  const read = createBatches(async (groups) => {
    if (awaySince !== null) throw new Error('Redis cannot be read');
    try {
      return await readMany(groups);
    } catch (error) {
      leave(describeError(error as Error));
      throw error;
    }
  });

  function fromMemory(group: string): Lookup {
    const known = remembered.get(group);
    if (known === undefined) return { status: isComplete ? 'unknown_group' : 'unavailable' };
    const { inviteLink } = known;
    return inviteLink === null
      ? { status: 'no_link' }
      : { status: 'found', group: known.group, inviteLink, fromMemory: true };
  }

  async function readAll(): Promise<void> {
    const groups = await withTimeout(source.groups());
    if (groups.length === 0) await readMany([]);
    for (let from = 0; from < groups.length; from += chunk) {
      if (from > 0 && isComplete && awaySince === null) await pause(chunkMs);
      if (signal.aborted) return;
      await readMany(groups.slice(from, from + chunk));
      comeBack();
    }
    const all = new Set(groups);
    for (const [group, known] of remembered) if (!all.has(group)) lose(group, known);
    isComplete = true;
    comeBack();
    becomeReady();
  }

  /** Ends early if Redis goes away. */
  async function pause(ms: number): Promise<void> {
    if (signal.aborted) return;
    pausing = new AbortController();
    await sleep(ms, undefined, { signal: pausing.signal }).catch(() => {});
  }

  async function keepFresh(): Promise<void> {
    while (!signal.aborted) {
      const trouble = source.trouble();
      if (trouble !== null) {
        leave(trouble);
        await pause(lookMs);
        continue;
      }
      try {
        await readAll();
        await pause(roundMs);
      } catch (error) {
        leave(describeError(error as Error));
        await pause(retryMs);
      }
    }
  }

  signal.addEventListener('abort', () => pausing.abort());
  void keepFresh();
  return {
    ready,
    state,
    async find(group) {
      const trouble = source.trouble();
      if (trouble !== null) leave(trouble);
      if (awaySince !== null) return fromMemory(group);
      const found = await read(group).then(
        (all) => all.get(group),
        () => undefined,
      );
      if (found?.status === 'removed') return { status: 'unknown_group' };
      if (found?.status === 'unknown' && !remembered.has(group)) return { status: 'unknown_group' };
      if (found?.status === 'unreadable' && !remembered.has(group)) return { status: 'unavailable' };
      if (found?.status !== 'registered' || found.inviteLink === null) return fromMemory(group);
      return { status: 'found', group: found.group, inviteLink: found.inviteLink, fromMemory: false };
    },
  };
}

/** The read goes on after the timeout. */
async function withTimeout<T>(read: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${readTimeoutMs} ms`)), readTimeoutMs);
  });
  read.catch(() => {});
  try {
    return await Promise.race([read, late]);
  } finally {
    clearTimeout(timer);
  }
}
