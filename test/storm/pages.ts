/** Reads everything that workers show over HTTP, all through a storm: for searching it for secrets. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fleet } from './fleet.ts';

export interface Pages {
  /** All that was answered, page by page. */
  readonly texts: readonly string[];
  stop(): Promise<void>;
}

const paths = ['/', '/?page=2', '/api/status', '/metrics', '/readyz', '/healthz'];
/** Often enough to meet every link that is live for a while; ten minutes of it still fit into one string. */
const everyMs = 2_000;
/** Workers are frozen, and killed in the middle of an answer. */
const patienceMs = 4_000;

export function readPages(fleet: Fleet): Pages {
  const texts: string[] = [];
  const over = new AbortController();
  const read = async (url: string) => {
    const signal = AbortSignal.any([over.signal, AbortSignal.timeout(patienceMs)]);
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
