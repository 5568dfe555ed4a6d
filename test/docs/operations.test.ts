/** docs/operations.md tells of every metric and every event of the log that there is, and of no other. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createMetrics } from '../../src/ops/metrics.ts';
import { healthy, well } from '../ops/samples.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(`${root}docs/operations.md`, 'utf8');

/** What stands in backquotes in the first column of the tables of a section. */
function namesIn(section: string): string[] {
  const text = page.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? '';
  const cells = [...text.matchAll(/^\| (.*?) +\|/gm)].map(([, cell = '']) => cell);
  return cells.flatMap((cell) => [...cell.matchAll(/`([a-z_.]*[a-z])`/g)].map(([, name = '']) => name));
}

it('lists every metric', async () => {
  const text = await createMetrics('1.2.3').render(healthy, well);
  const shown = [...text.matchAll(/^# TYPE invite_rotator_(\w+)/gm)].map(([, name = '']) => name);
  const own = shown.filter((name) => !/^(process|nodejs)_/.test(name));
  expect(own.length).toBeLessThan(shown.length);
  expect(namesIn('Metrics').sort()).toEqual(own.sort());
});

it('lists every event of the log', () => {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const sources = files
    .filter((path) => path.endsWith('.ts'))
    .map((path) => readFileSync(join(root, 'src', path), 'utf8'));
  const logged = sources.flatMap((source) => [...source.matchAll(/event: '(.*?)'/g)].map(([, name = '']) => name));
  // One line of the source writes three: each with the status of a rotation.
  const ends = ['rotated', 'recovered', 'satisfied'].map((status) => `rotation.${status}`);
  expect(namesIn('Log lines').sort()).toEqual([...new Set([...logged, ...ends])].sort());
});
