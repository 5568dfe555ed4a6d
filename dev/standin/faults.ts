/** The faults that the stand-in can inject: everything that the real server and the proxies before it are known to do. */
import type { Endpoint, LoggedRequest } from './log.ts';

export type Fault =
  /** An error status, with or without replacing the link first; in the API's envelope, or as the HTML page of a proxy. */
  | {
      readonly kind: 'serverError';
      readonly effect: boolean;
      readonly status?: number;
      readonly html?: boolean;
      readonly message?: string;
    }
  /** The connection is reset without an answer, with or without the effect. */
  | { readonly kind: 'cut'; readonly effect: boolean }
  /** The connection stays open without an answer. The effect comes after `effectAfterMs`, or never (null). */
  | { readonly kind: 'silence'; readonly effectAfterMs: number | null }
  /** The connection is reset at once, and the effect comes later. */
  | { readonly kind: 'lateEffect'; readonly effectAfterMs: number }
  /** A 200 after the effect, with a malformed body. */
  | {
      readonly kind: 'badBody';
      readonly body: 'cut' | 'html' | 'empty' | 'successFalse' | 'otherGroup' | 'oversized' | 'trickle';
    }
  /** A given answer. The effect comes before it is sent (0), `effectAfterMs` later, or never (null). */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly body: string | object;
      readonly effectAfterMs: number | null;
      /** These headers replace the X-RateLimit headers. */
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** A reset answers with success and the previous code. `effect` says whether it replaced the link. */
  | { readonly kind: 'repeat'; readonly effect: boolean }
  /** `info` answers with the link of `ageMs` ago, like a cache. */
  | { readonly kind: 'stale'; readonly ageMs: number }
  /** A redirect to another address. */
  | { readonly kind: 'redirect'; readonly to: string }
  /** WhatsApp throttles the phone, reported under one of the statuses that wrappers have used. */
  | { readonly kind: 'throttled'; readonly status?: 404 | 429 | 500; readonly message?: string }
  /** The answer to an exceeded rate limit, whatever the count. */
  | { readonly kind: 'limit' }
  /** An answer without the X-RateLimit headers. */
  | { readonly kind: 'noHeaders' }
  /** An answer that takes this much longer. */
  | { readonly kind: 'slow'; readonly ms: number };

export interface FaultMatch {
  readonly endpoint?: Endpoint;
  readonly instance?: string;
  readonly jid?: string;
}

export interface Faults {
  /** The next `times` (default 1) matching requests get this fault. Faults are used in the order in which they were added. */
  next(fault: Fault, match?: FaultMatch, times?: number): void;
  /** Chooses a fault for each request that no scripted fault matches. */
  random(choose: ((request: LoggedRequest) => Fault | null) | null): void;
  clear(): void;
  take(request: LoggedRequest): Fault | null;
}

export function createFaults(): Faults {
  let scripts: { fault: Fault; match: FaultMatch; remaining: number }[] = [];
  let choose: ((request: LoggedRequest) => Fault | null) | null = null;
  return {
    next(fault, match = {}, times = 1) {
      scripts.push({ fault, match, remaining: times });
    },
    random(chooser) {
      choose = chooser;
    },
    clear() {
      scripts = [];
      choose = null;
    },
    take(request) {
      const script = scripts.find(
        ({ match }) =>
          (match.endpoint === undefined || match.endpoint === request.endpoint) &&
          (match.instance === undefined || match.instance === request.instance) &&
          (match.jid === undefined || match.jid === request.jid),
      );
      if (script === undefined) return choose?.(request) ?? null;
      script.remaining -= 1;
      if (script.remaining === 0) scripts = scripts.filter((other) => other !== script);
      return script.fault;
    },
  };
}
