/**
 * What Redis refuses at the moment, seen over all connections of the process (see `refusalOf`). It reports each reason at
 * most once a minute, and its end once, however many commands are refused meanwhile.
 */
import { type Refusal, refusalTexts } from './errors.ts';

export interface Refusals {
  /** Called for each refused command. */
  refused(reason: Refusal): void;
  /** Why Redis refuses commands now; null: it takes them. */
  now(): Refusal | null;
  /** The connection is lost: nothing is refused until it is back, which is reported as such. */
  clear(): void;
}

/** `why`: as text, for people. */
export type OnRefusal = (change: { readonly reason: Refusal; readonly why: string } | null) => void;

const reportEveryMs = 60_000;
/** Refused commands are sent again every second: without a refusal for this time, none is left. */
const overMs = 2_500;

export function createRefusals(onRefusal: OnRefusal = () => {}): Refusals {
  const reportedAt = new Map<Refusal, number>();
  let current: Refusal | null = null;
  let isReported = false;
  let timer: NodeJS.Timeout | undefined;

  function end(): void {
    clearTimeout(timer);
    current = null;
    if (isReported) onRefusal(null);
    isReported = false;
  }

  return {
    refused(reason) {
      current = reason;
      clearTimeout(timer);
      timer = setTimeout(end, overMs).unref();
      const nowMs = performance.now();
      if (nowMs - (reportedAt.get(reason) ?? Number.NEGATIVE_INFINITY) < reportEveryMs) return;
      reportedAt.set(reason, nowMs);
      isReported = true;
      onRefusal({ reason, why: refusalTexts[reason] });
    },
    now: () => current,
    clear() {
      clearTimeout(timer);
      current = null;
      isReported = false;
    },
  };
}
