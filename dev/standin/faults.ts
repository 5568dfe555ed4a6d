/** The ways in which the stand-in can misbehave: all that the real server and what lies before it are known to do. */
import type { Endpoint, LoggedRequest } from './log.ts';

export type Fault =
  /** An error status, before or after the link was replaced; in the API's envelope, or as a proxy's web page. */
  | {
      readonly kind: 'serverError';
      readonly effect: boolean;
      readonly status?: number;
      readonly html?: boolean;
      readonly message?: string;
    }
  /** The connection is cut without an answer, before or after the effect. */
  | { readonly kind: 'cut'; readonly effect: boolean }
  /** The connection stays open and nothing ever comes; the effect after `effectAfterMs`, or never (null). */
  | { readonly kind: 'silence'; readonly effectAfterMs: number | null }
  /** The connection is cut at once, and the effect comes later. */
  | { readonly kind: 'lateEffect'; readonly effectAfterMs: number }
  /** A 200 after the effect whose body is not what it should be. */
  | {
      readonly kind: 'badBody';
      readonly body: 'cut' | 'html' | 'empty' | 'successFalse' | 'otherGroup' | 'oversized' | 'trickle';
    }
  /** Any answer at all; the effect before it is sent, `effectAfterMs` later, or never (null). */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly body: string | object;
      readonly effectAfterMs: number | null;
      /** Instead of the X-RateLimit headers. */
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** A reset answers as if it had worked, with the code that was live before, and may have worked or not. */
  | { readonly kind: 'repeat'; readonly effect: boolean }
  /** `info` answers what was true so long ago, as from a cache. */
  | { readonly kind: 'stale'; readonly ageMs: number }
  /** A redirect to somewhere else. */
  | { readonly kind: 'redirect'; readonly to: string }
  /** WhatsApp tells the number to slow down, under one of the statuses that wrappers have used. */
  | { readonly kind: 'throttled'; readonly status?: 404 | 429 | 500; readonly message?: string }
  /** The token's limit, whatever the count. */
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
  /** The next `times` (1) requests that match meet this fault; scripts are used in the order in which they were made. */
  next(fault: Fault, match?: FaultMatch, times?: number): void;
  /** Asked for each request that meets no scripted fault. */
  random(choose: ((request: LoggedRequest) => Fault | null) | null): void;
  clear(): void;
  take(request: LoggedRequest): Fault | null;
}

export function createFaults(): Faults {
  let scripts: { fault: Fault; match: FaultMatch; left: number }[] = [];
  let choose: ((request: LoggedRequest) => Fault | null) | null = null;
  return {
    next(fault, match = {}, times = 1) {
      scripts.push({ fault, match, left: times });
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
      script.left -= 1;
      if (script.left === 0) scripts = scripts.filter((other) => other !== script);
      return script.fault;
    },
  };
}
