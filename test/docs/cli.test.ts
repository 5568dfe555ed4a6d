/** docs/cli.md lists exactly the commands, options and states that exist; docs/operations.md, the reasons of `/readyz`. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { groupStates } from '../../src/groups/states.ts';
import { judge, readinessReasons } from '../../src/ops/readiness.ts';
import { well } from '../ops/samples.ts';
import { cli } from '../support/cli.ts';

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');
const page = read('docs/cli.md');

/** The first cells of the tables in a section. */
function firstCells(text: string, section: string): string[] {
  const part = text.split(/^## /m).find((one) => one.startsWith(`${section}\n`)) ?? '';
  return [...part.matchAll(/^\| `(.*?)` +\|/gm)].map(([, cell = '']) => cell);
}

const help = async (...args: string[]) =>
  (await promisify(execFile)(process.execPath, [cli, ...args, '--help'])).stdout;
const namesIn = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, name = '']) => name);

it('lists every command with its options', async () => {
  const all = await help();
  const commands = namesIn(all.split('Commands:')[1] ?? '', /^ {2}(\w+)/gm).filter((name) => name !== 'help');
  const [table = ''] = page.split(/^## /m);
  expect(namesIn(table, /^\| `(\w+)/gm)).toEqual(commands);
  const common = firstCells(page, 'Common options').flatMap((cell) => namesIn(cell, /(--[a-z]+)/g));
  const helps = await Promise.all(commands.map((name) => help(name)));
  for (const [i, name] of commands.entries()) {
    const options = namesIn(helps[i] ?? '', /^ {2}(?:-\w, )?(--[a-z]+)/gm).filter((option) => !common.includes(option));
    const listed = firstCells(page, name).flatMap((cell) => namesIn(cell, /^(--[a-z]+)/g));
    expect(listed.sort(), name).toEqual(options);
  }
});

it('lists every state of a group, most urgent first', () => {
  expect(firstCells(page, 'status').filter((cell) => !cell.startsWith('--'))).toEqual(groupStates);
  expect(firstCells(read('docs/troubleshooting.md'), 'Groups')).toEqual(
    groupStates.filter((state) => !['rotating', 'new', 'fresh', 'disabled'].includes(state)),
  );
});

it('lists every reason and detail of /readyz', () => {
  const { details } = judge({ ...well, configBroken: true, paused: ['rotations-bot'] });
  const listed = firstCells(read('docs/operations.md'), 'Monitoring').filter((cell) => !cell.startsWith('/'));
  expect(listed.sort()).toEqual([...readinessReasons, ...details].sort());
});
