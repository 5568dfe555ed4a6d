/** A log of every request that reached the stand-in, with its start and its end. Tests and the checker query it. */

export type Endpoint = 'reset' | 'info' | 'groups' | 'instances' | 'health' | 'unknown';

export interface LoggedRequest {
  readonly id: number;
  readonly endpoint: Endpoint;
  readonly method: string;
  readonly path: string;
  readonly instance: string | null;
  readonly token: string | null;
  identifier: string | null;
  jid: string | null;
  /** Milliseconds since 1970, fractional. */
  readonly begin: number;
  /** When the answer was written or the connection closed. Null while in flight. */
  end: number | null;
  /** Null if no answer was written. */
  status: number | null;
  /** When the limiter counted the request. Null if it did not. */
  countedAt: number | null;
  /** When this request replaced the link, and the new code. Null if it did not. */
  effect: { readonly at: number; readonly code: string } | null;
  /** The kind of the injected fault. Null if there was none. */
  fault: string | null;
}

export interface RequestLog {
  readonly all: readonly LoggedRequest[];
  add(request: Omit<LoggedRequest, 'id'>): LoggedRequest;
  of(filter: Partial<Pick<LoggedRequest, 'endpoint' | 'instance' | 'jid' | 'token' | 'status'>>): LoggedRequest[];
  inFlightAt(ms: number): LoggedRequest[];
  /** The maximum number of resets of one group that were in flight at once. */
  maxResetsInFlight(jid: string): number;
  /** The maximum number of requests of a token that were counted in any window of that length, wherever it starts. */
  maxInAnyWindow(token: string, perMs: number): number;
}

export function createRequestLog(): RequestLog {
  const all: LoggedRequest[] = [];
  return {
    all,
    add(request) {
      const logged = { ...request, id: all.length + 1 };
      all.push(logged);
      return logged;
    },
    of(filter) {
      const wanted = Object.entries(filter);
      return all.filter((request) => wanted.every(([key, value]) => request[key as keyof LoggedRequest] === value));
    },
    inFlightAt: (ms) => all.filter(({ begin, end }) => begin <= ms && (end === null || end > ms)),
    maxResetsInFlight(jid) {
      const resets = all.filter((request) => request.endpoint === 'reset' && request.jid === jid);
      return Math.max(
        0,
        ...resets.map(
          ({ begin }) => resets.filter((other) => other.begin <= begin && (other.end ?? Infinity) > begin).length,
        ),
      );
    },
    maxInAnyWindow(token, perMs) {
      const times = all
        .filter((request) => request.token === token && request.countedAt !== null)
        .map(({ countedAt }) => countedAt as number)
        .sort((a, b) => a - b);
      let max = 0;
      let from = 0;
      for (let to = 0; to < times.length; to++) {
        while ((times[to] ?? 0) - (times[from] ?? 0) >= perMs) from++;
        max = Math.max(max, to - from + 1);
      }
      return max;
    },
  };
}
