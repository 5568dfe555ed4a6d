/** The order of folders in docs/architecture.md: imports point up the table, never down, not even for types. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
const section = page.split(/^## /m).find((part) => part.startsWith('The folders\n')) ?? '';
const rows = [...section.matchAll(/^\| (`.*?) +\|/gm)].map(([, cell = '']) => cell);
const order = rows.map((cell) => [...cell.matchAll(/`(\w+)\/`/g)].map(([, name = '']) => name));

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((path) =>
  path.endsWith('.ts'),
);
const folderOf = (path: string) => (path.includes(sep) ? (path.split(sep)[0] ?? '') : null);
const rowOf = (folder: string) => order.findIndex((names) => names.includes(folder));

const imports = sources.flatMap((path) => {
  const text = readFileSync(join(root, 'src', path), 'utf8');
  const targets = [...text.matchAll(/ from '(.*?)';$/gm)].map(([, target = '']) => target);
  return targets.map((target) => ({
    path,
    target: target.startsWith('.') ? normalize(join(dirname(path), target)) : target,
  }));
});

it('has every folder of src once', () => {
  const folders = new Set(sources.flatMap((path) => folderOf(path) ?? []));
  expect(order.flat().toSorted()).toEqual([...folders].toSorted());
});

it('lets no folder import from one below it', () => {
  const wrong = imports.filter(({ path, target }) => {
    const [from, to] = [folderOf(path), folderOf(target)];
    return from !== null && to !== null && target.endsWith('.ts') && rowOf(to) > rowOf(from);
  });
  expect(wrong).toEqual([]);
});

it('lets the contract import nothing but zod and itself', () => {
  const ofContract = imports.filter(({ path }) => folderOf(path) === 'contract');
  expect(ofContract.filter(({ target }) => target !== 'zod' && folderOf(target) !== 'contract')).toEqual([]);
});

it('keeps the pages over HTTP apart from the worker', () => {
  const ofPages = imports.filter(({ path }) => ['ops', 'join'].includes(folderOf(path) ?? ''));
  expect(ofPages.filter(({ target }) => folderOf(target) === 'worker')).toEqual([]);
});
