/** The alert rules use only metrics, labels and label values that the program has. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { errorCodes } from '../../src/contract/errorCodes.ts';
import { groupStates } from '../../src/groups/states.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { healthy, instance, statusOf, well } from './samples.ts';

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

/** The values of each label, by metric. Prometheus renames the label `instance` to `exported_instance`. */
async function shownLabels(): Promise<Map<string, Map<string, Set<string>>>> {
  const reasons = [...errorCodes, 'suspected'];
  const instances = reasons.map((reason) => instance(reason, { gate: { reason, opensInMs: 1, closedForMs: 1 } }));
  const text = await createMetrics('1.2.3').render(
    statusOf({ ...healthy, instances, paused: ['rotations-bot'] }),
    well,
    [],
  );
  const metrics = new Map<string, Map<string, Set<string>>>();
  for (const [, name = '', list = ''] of text.matchAll(/^(invite_rotator_\w+)(?:{(.*)})? /gm)) {
    const labels = metrics.get(name) ?? new Map<string, Set<string>>();
    metrics.set(name, labels);
    for (const [, own = '', value = ''] of list.matchAll(/(\w+)="(.*?)"/g)) {
      const label = own === 'instance' ? 'exported_instance' : own;
      labels.set(label, (labels.get(label) ?? new Set()).add(value));
    }
  }
  return metrics;
}

it('uses metrics, labels and values that exist', async () => {
  const shown = await shownLabels();
  expect([...shown.get('invite_rotator_groups')!.get('state')!]).toEqual([...groupStates]);
  let asked = 0;
  for (const { alert, expr, annotations } of rules) {
    for (const [, name = '', matchers = ''] of expr.matchAll(/(invite_rotator_\w+)(?:{(.*?)})?/g)) {
      asked++;
      const labels = shown.get(name);
      expect(labels, `${alert}: ${name}`).toBeDefined();
      for (const [, label = '', values = ''] of matchers.matchAll(/(\w+)=~?"(.*?)"/g)) {
        for (const value of values.split('|')) expect(labels!.get(label), `${alert}: ${label}`).toContain(value);
      }
      const kept = /by \((.*?)\)/.exec(expr)?.[1]?.split(', ') ?? [];
      for (const label of kept) expect([...labels!.keys()], alert).toContain(label);
      for (const [, label] of annotations.summary.matchAll(/\$labels\.(\w+)/g)) {
        expect(expr.includes(' by ') ? kept : ['instance'], alert).toContain(label);
      }
    }
  }
  expect(asked).toBe(rules.length - 1);
});

it('gives each rule a severity and a summary', () => {
  for (const { alert, labels, annotations } of rules) {
    expect(['page', 'ticket'], alert).toContain(labels.severity);
    expect(annotations.summary.length, alert).toBeGreaterThan(20);
  }
});
