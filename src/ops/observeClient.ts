/** A RyzeAPI client that tells an observer of every call. */

import type { RyzeClient } from '../ryze/client.ts';
import type { CallOutcome } from '../ryze/outcome.ts';
import type { Observer } from './observer.ts';

export function observeClient(client: RyzeClient, observer: Observer): RyzeClient {
  async function observed<T>(
    instance: string,
    endpoint: 'resetLink' | 'info',
    call: () => Promise<CallOutcome<T>>,
  ): Promise<CallOutcome<T>> {
    const from = performance.now();
    const outcome = await call();
    const status = outcome.ok ? '200' : String(outcome.httpStatus ?? outcome.code);
    observer.call(instance, endpoint, status, (performance.now() - from) / 1000);
    return outcome;
  }
  return {
    resetLink: (call) => observed(call.instance, 'resetLink', () => client.resetLink(call)),
    groupInfo: (call) => observed(call.instance, 'info', () => client.groupInfo(call)),
    close: () => client.close(),
  };
}
