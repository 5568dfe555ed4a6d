/**
 * Spans of OpenTelemetry. Everybody may use them: without `OTEL_*` variables that ask for traces they do nothing, and no
 * package of OpenTelemetry is loaded (`openTelemetry.ts` does that at the first use).
 *
 * No attribute may hold a link, a code or a token. In case one does, it is redacted as in the log.
 */
import type { Telemetry } from 'bullmq';
import { readTraceSettings } from './environment.ts';
import { openTracing } from './openTelemetry.ts';

/** A name without a dot is this program's own: `invite_rotator.` is put before it. */
export type Attributes = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Span {
  /** Null and undefined are left out. */
  set(attributes: Attributes): void;
  event(name: string, attributes?: Attributes): void;
  /** Marks it as failed. `type`: an error code, or an error's name. Its text is left to the log: it may quote anything. */
  fail(type: string): void;
}

export interface SpanSettings {
  /** Default: `internal`. */
  readonly kind?: 'internal' | 'client';
  readonly attributes?: Attributes;
}

/** A span of a job that is added to a queue together with others. */
export interface ProducerSpan {
  /** For the job's option `telemetry.metadata`. Whoever takes the job continues the trace. */
  readonly context: string;
  end(failure?: unknown): void;
}

export interface Tracing {
  inSpan<T>(name: string, settings: SpanSettings, run: (span: Span) => Promise<T>): Promise<T>;
  currentSpan(): Span;
  /** `context`: of the trace that is continued; null: a new one is started. */
  produce(queue: string, operation: string, context: string | null, attributes: Attributes): ProducerSpan;
  /** The current trace as BullMQ stores it with a job. Null: there is none. */
  context(): string | null;
  readonly telemetry: Telemetry;
  flush(): Promise<void>;
}

/** Called with what happens to the traces. None of it concerns the work. */
export interface TraceListener {
  /** There will be no traces. */
  unavailable(problem: string): void;
  /** The collector does not take spans; only once until it does again. */
  failed(problem: string): void;
  recovered(): void;
}

const say = (line: string) => void process.stderr.write(`${line}\n`);
let listener: TraceListener = { unavailable: say, failed: say, recovered() {} };
/** Undefined until the first use. */
let opened: Tracing | null | undefined;

/** Call it before the first use of anything else here. Default: problems are written to standard error. */
export function listenToTraces(to: TraceListener): void {
  listener = to;
}

/** Null: no traces are asked for. */
export function tracing(): Tracing | null {
  if (opened === undefined) opened = open();
  return opened;
}

function open(): Tracing | null {
  const settings = readTraceSettings(process.env);
  if (settings === null) return null;
  const made = 'problem' in settings ? settings : openTracing(settings, listener);
  if (!('problem' in made)) return made;
  listener.unavailable(`no traces: ${made.problem}`);
  return null;
}

const noSpan: Span = { set() {}, event() {}, fail() {} };

/** Runs in a span of its own, a child of the current one. A rejection marks it as failed. */
export async function inSpan<T>(name: string, settings: SpanSettings, run: (span: Span) => Promise<T>): Promise<T> {
  const traces = tracing();
  return await (traces === null ? run(noSpan) : traces.inSpan(name, settings, run));
}

export function currentSpan(): Span {
  return tracing()?.currentSpan() ?? noSpan;
}

/** As BullMQ calls it in a job's options. */
const contextField = 'tm';

/** What is stored for later, with the current trace. Readers that know nothing of traces ignore it. */
export function withTrace<T extends object>(value: T): T {
  const context = tracing()?.context() ?? null;
  return context === null ? value : { ...value, [contextField]: context };
}

/** The trace that `withTrace` stored. Null: there is none. */
export function traceOf(value: unknown): string | null {
  const context: unknown = (value as Record<string, unknown> | null)?.[contextField];
  return typeof context === 'string' ? context : null;
}

/** How long the end of a process may be delayed by spans that have not arrived: one more try after a failure. */
const flushMs = 3_000;

/** Sends the spans that have ended. Resolves when they have arrived, or after `flushMs`, and never rejects. */
export async function flushTraces(): Promise<void> {
  const traces = opened ?? null;
  if (traces === null) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, flushMs);
  });
  await Promise.race([traces.flush().catch(() => {}), late]);
  clearTimeout(timer);
}
