import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { createMetrics } from '../../src/ops/metrics.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}

const file = parse(readFileSync(new URL('../../config/alerts.yaml', import.meta.url), 'utf8')) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};
const rules = file.groups.flatMap((group) => group.rules);

it('knows metrics that exist, by labels that they have', async () => {
  const shown = await createMetrics('1.2.3').render(null);
  const known = new Set([...shown.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  const used = rules.flatMap(({ expr }) => [...expr.matchAll(/invite_rotator_\w+/g)].map(([name]) => name));
  expect(used.length).toBeGreaterThan(5);
  for (const name of used) expect(known, name).toContain(name);
});

it('says of each whether to wake somebody, and what is the matter', () => {
  for (const { alert, labels, annotations } of rules) {
    expect(['page', 'ticket'], alert).toContain(labels.severity);
    expect(annotations.summary.length, alert).toBeGreaterThan(20);
  }
});
