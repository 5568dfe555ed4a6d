/** Reads every page of the workers throughout a storm, so that the checker can search them for secrets. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fleet } from './fleet.ts';

export interface Pages {
  /** The body of every answer. */
  readonly texts: readonly string[];
  stop(): Promise<void>;
}

const paths = ['/', '/?page=2', '/api/status', '/metrics', '/readyz', '/healthz'];
/** Often enough to see most links while they are live. Ten minutes of pages still fit into one string. */
const everyMs = 2_000;
/** Workers may be frozen or killed in the middle of an answer. */
const timeoutMs = 4_000;

export function readPages(fleet: Fleet): Pages {
  const texts: string[] = [];
  const over = new AbortController();
  const read = async (url: string) => {
    const signal = AbortSignal.any([over.signal, AbortSignal.timeout(timeoutMs)]);
    const response = await fetch(url, { signal });
    texts.push(await response.text());
  };
  const readAll = async () => {
    while (!over.signal.aborted) {
      const urls = fleet.urls.flatMap((base) => paths.map((path) => `${base}${path}`));
      await Promise.allSettled(urls.map(read));
      await sleep(everyMs, undefined, { signal: over.signal }).catch(() => {});
    }
  };
  const reading = readAll();
  return {
    texts,
    async stop() {
      over.abort();
      await reading;
    },
  };
}
