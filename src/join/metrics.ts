/** Metrics of `join`. Counts are by outcome, never by group: they show nothing private, and their number is fixed. */
import { Counter, Gauge, Registry } from 'prom-client';
import type { Links, Lookup } from './links.ts';

const prefix = 'invite_rotator_join_';

/** What was asked for. */
export type Resource = 'redirect' | 'page';

export interface JoinMetrics {
  readonly contentType: string;
  count(resource: Resource, lookup: Lookup): void;
  render(): Promise<string>;
}

const outcomes = ['found', 'from_memory', 'no_link', 'unknown_group', 'unavailable'] as const;

export function createJoinMetrics(links: Pick<Links, 'state'>): JoinMetrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string) =>
    new Counter({ name: `${prefix}${name}`, help, labelNames: ['outcome'], registers });
  const gauge = (name: string, help: string) => new Gauge({ name: `${prefix}${name}`, help, registers });

  const counters: Record<Resource, Counter> = {
    redirect: counter('redirects_total', 'Requests for a redirect, by outcome'),
    page: counter('pages_total', 'Requests for a page or a QR code, by outcome'),
  };
  for (const outcome of outcomes) for (const one of Object.values(counters)) one.inc({ outcome }, 0);
  const away = gauge('from_memory', '1 while Redis cannot be read and the last known links are served');
  const since = gauge('from_memory_since_seconds', 'Unix time since when the last known links are served, 0 if not');
  const known = gauge('known_links', 'Links that are remembered for the time when Redis cannot be read');

  return {
    contentType: registry.contentType,
    count(resource, lookup) {
      const fromMemory = lookup.status === 'found' && lookup.fromMemory;
      counters[resource].inc({ outcome: fromMemory ? 'from_memory' : lookup.status });
    },
    async render() {
      const { awaySince, known: remembered } = links.state();
      away.set(awaySince === null ? 0 : 1);
      since.set((awaySince ?? 0) / 1_000);
      known.set(remembered);
      return await registry.metrics();
    },
  };
}
