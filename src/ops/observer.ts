/** What the worker reports to its metrics. Cheap enough to be called for each call; receives no link, code or token. */
import type { RyzeClient } from '../ryze/client.ts';
import { type CallOutcome, isFailure } from '../ryze/outcome.ts';

type Endpoint = 'resetLink' | 'info';

export interface Observer {
  /** A call to RyzeAPI ended. `status`: the HTTP status, or the error code if there was no answer. */
  call(instance: string, endpoint: Endpoint, status: string, seconds: number): void;
  /** A rotation ended: `rotated`, `recovered`, `satisfied` or `failed`. */
  rotation(instance: string, outcome: string): void;
  /** A link was found to have been changed by someone else. */
  drift(instance: string): void;
  /** A link could not be verified: the read failed, or its answer contained no link. */
  unverified(instance: string): void;
  reload(outcome: 'applied' | 'broken'): void;
}

export const noopObserver: Observer = { call() {}, rotation() {}, drift() {}, unverified() {}, reload() {} };

/** A RyzeAPI client that reports each call to an observer. */
export function observeClient(client: RyzeClient, observer: Observer): RyzeClient {
  async function observed(
    instance: string,
    endpoint: Endpoint,
    call: () => Promise<CallOutcome>,
  ): Promise<CallOutcome> {
    const startedAt = performance.now();
    const outcome = await call();
    const status = isFailure(outcome) ? String(outcome.httpStatus ?? outcome.code) : '200';
    observer.call(instance, endpoint, status, (performance.now() - startedAt) / 1000);
    return outcome;
  }
  return {
    resetLink: (call) => observed(call.instance, 'resetLink', () => client.resetLink(call)),
    groupInfo: (call) => observed(call.instance, 'info', () => client.groupInfo(call)),
    close: () => client.close(),
  };
}
