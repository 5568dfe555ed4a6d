/** docs/troubleshooting.md quotes only messages, events and states that the program prints. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const sources = readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => readFileSync(`${root}src/${path}`, 'utf8'))
  .join('\n');
const page = readFileSync(`${root}docs/troubleshooting.md`, 'utf8');
const quoted = [...page.matchAll(/^\| (.*?) +\|/gm)].flatMap(([, cell = '']) =>
  [...cell.matchAll(/`(.*?)`/g)].map(([, text = '']) => text),
);

it.each(quoted)('quotes only existing text: %s', (text) => {
  // Names, numbers and addresses vary.
  const parts = text.split(/\.\.\.|\d+ ?m?s\b|127\.0\.0\.1:\d+/).map((part) => part.replace(/^[": ]+|[": ]+$/g, ''));
  for (const part of parts.filter((one) => /\w{3}/.test(one))) expect(sources).toContain(part);
});
