/**
 * How long a consumer held dead links: from the moment at which the server's link differs from the newest link that the
 * consumer holds, until it is the same again. Pure. Times are milliseconds since 1970 on one clock.
 */
import type { Cause } from './plan.ts';

export interface DeadSpan {
  /** The server's link that the consumer did not have. */
  readonly code: string;
  readonly from: number;
  /** The end of the run, if the link is still dead then. */
  readonly to: number;
  readonly isOver: boolean;
}

/** `links`: those of the server. `held`: those that the consumer received. Both oldest first. */
export function deadSpans(
  links: readonly { readonly code: string; readonly from: number }[],
  held: readonly { readonly code: string; readonly at: number }[],
  endMs: number,
): DeadSpan[] {
  const changes = [
    ...links.map(({ code, from }) => ({ at: from, live: code, held: null })),
    ...held.map(({ code, at }) => ({ at, live: null, held: code })),
  ].sort((a, b) => a.at - b.at);
  const spans: DeadSpan[] = [];
  let live = links[0]?.code ?? '';
  let newest = live;
  let open: { readonly code: string; readonly from: number } | null = null;
  for (const change of changes) {
    live = change.live ?? live;
    newest = change.held ?? newest;
    if (newest !== live) open ??= { code: live, from: change.at };
    else if (open !== null) {
      spans.push({ ...open, to: change.at, isOver: true });
      open = null;
    }
  }
  return open === null ? spans : [...spans, { ...open, to: endMs, isOver: false }];
}

export interface Summary {
  readonly events: number;
  readonly p50: DeadFor;
  readonly p99: DeadFor;
  readonly worst: DeadFor;
  /** How long each link that is dead at the end has been dead so far, ms; the longest first. */
  readonly stillDead: readonly number[];
}

/** A time; one that is not over is so far. */
export interface DeadFor {
  readonly ms: number;
  readonly isOver: boolean;
}

export function summarize(spans: readonly DeadSpan[]): Summary {
  // A link that is dead at the end was dead for longer than any that is not.
  const times = spans
    .map(({ from, to, isOver }) => ({ ms: to - from, isOver }))
    .sort((a, b) => Number(b.isOver) - Number(a.isOver) || a.ms - b.ms);
  const at = (share: number) => times[Math.max(Math.ceil(share * times.length) - 1, 0)] ?? { ms: 0, isOver: true };
  const stillDead = times.flatMap(({ ms, isOver }) => (isOver ? [] : [ms])).reverse();
  return { events: times.length, p50: at(0.5), p99: at(0.99), worst: at(1), stillDead };
}

/** A request that is on the wire while its worker is killed reaches the server's log within this time. */
const onTheWireMs = 400;

/**
 * A link whose worker was killed while it waited for the answer or published the link, although something else was
 * planned for it, counts as a crash.
 */
export function causeOf(
  planned: Cause,
  span: DeadSpan,
  { sentAt, kills, timeoutMs }: { sentAt: number; kills: readonly number[]; timeoutMs: number },
): Cause {
  if (planned !== 'rotation' && planned !== 'timedOut') return planned;
  const until = Math.min(span.to, sentAt + timeoutMs);
  return kills.some((at) => at >= sentAt - onTheWireMs && at <= until) ? 'crash' : planned;
}
