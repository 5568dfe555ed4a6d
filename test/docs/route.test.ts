/**
 * docs/architecture.md lists the files, functions and types that a reader meets when following one one-off through the
 * program. These tests fail when a listed name is gone, when the calls take another route, and when a listed function takes
 * or returns a type that is not listed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const textOf = (file: string) => readFileSync(join(root, file), 'utf8');
const page = textOf('docs/architecture.md');
const section = page.split(/^## /m).find((part) => part.startsWith('The route of a one-off\n')) ?? '';

const namesIn = (cell: string) => [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
/** The rows: number, file, functions, types, and what happens there. */
const route = [...section.matchAll(/^\| *\d+ *\| `(.*?)` *\|(.*?)\|(.*?)\|/gm)].map(
  ([, file = '', functions = '', types = '']) => ({ file, functions: namesIn(functions), types: namesIn(types) }),
);
const files = route.map(({ file }) => file);
const types = route.flatMap((row) => row.types);
const functions = route.flatMap((row) => row.functions.map((name) => ({ file: row.file, name })));
const modules = files.filter((file) => file.endsWith('.ts'));
/** Types that only name the parameters of one function, or a part of a listed type. */
const minor = namesIn(/^Not counted.*?$(?=\n\n)/ms.exec(section)?.[0] ?? '');

/** Data passes along the route. Wiring, services (interfaces of methods) and enumerations of names do not. */
function isData(name: string, declaration: string): boolean {
  if (/(Dependencies|Options)$/.test(name)) return false;
  if (/^ =/.test(declaration)) {
    const isEnumeration =
      /^ =\s*(?:\|?\s*'\w+'\s*)+$/.test(declaration) || /^ = \(typeof \w+\)\[number\]$/.test(declaration);
    return !isEnumeration && !declaration.startsWith(' = ReturnType<typeof create');
  }
  const members = declaration.match(/^ {2}\w.*$/gm) ?? [];
  return members.some((member) => !/^ {2}(?:readonly )?\w+\??(?:: )?(?:<.*?>)?\(/.test(member));
}

/** The data types that a module exports. */
function typesOf(file: string): string[] {
  const text = textOf(file).replace(/^ *\/\*\*[\s\S]*?\*\/\n/gm, '');
  const aliases = [...text.matchAll(/^export type (\w+)( =[\s\S]*?);$(?!\n {2})/gm)];
  const interfaces = [...text.matchAll(/^export interface (\w+)([\s\S]*?)^\}$/gm)];
  return [...aliases, ...interfaces].flatMap(([, name = '', body = '']) => (isData(name, body) ? [name] : []));
}

/** The modules that a module imports, and the Lua scripts that it loads. */
function importsOf(file: string): string[] {
  const text = textOf(file);
  const paths = [...text.matchAll(/ from '(\.[^']*)';$/gm)].map(([, path = '']) => path);
  const scripts = [...text.matchAll(/loadScript\('(\w+)', import\.meta\.url\)/g)].map(([, name]) => `./${name}.lua`);
  return [...paths, ...scripts].map((path) => normalize(join(dirname(file), path)));
}

/** The parameters and the result of a function or method that a module declares; '' if it declares none of that name. */
function signatureOf({ file, name }: { file: string; name: string }): string {
  const declared = new RegExp(`^ *(?:export )?(?:async )?(?:function )?${name}(?:<.*?>)?\\([\\s\\S]*?(?: \\{|;)$`, 'm');
  return declared.exec(textOf(file))?.[0] ?? '';
}

it('has at most 25 files and 20 types', () => {
  for (const [names, max] of [
    [files, 25],
    [types, 20],
  ] as const) {
    expect(names.length).toBeGreaterThan(10);
    expect(names.length).toBeLessThanOrEqual(max);
    expect(new Set(names).size).toBe(names.length);
  }
});

it('lists files that exist, each imported by another file of the route', () => {
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  const reached = new Set(files.slice(0, 1));
  for (const file of reached) {
    if (modules.includes(file)) for (const path of importsOf(file)) if (files.includes(path)) reached.add(path);
  }
  expect(files.filter((file) => !reached.has(file))).toEqual([]);
});

it('lists functions that exist, each called by another file of the route', () => {
  expect(functions.filter((one) => signatureOf(one) === '')).toEqual([]);
  const uncalled = functions.filter(({ file, name }) => {
    const call = new RegExp(`(?<!function )\\b${name}(?:<.*?>)?\\(`);
    return !modules.some((caller) => caller !== file && call.test(textOf(caller)));
  });
  expect(uncalled.map(({ name }) => name)).toEqual(route[0]?.functions);
});

it('lists each type with the file that exports it', () => {
  for (const row of route) {
    if (row.types.length > 0) expect(typesOf(row.file), row.file).toEqual(expect.arrayContaining(row.types));
  }
});

it('lists every type that these functions take or return, and no other', () => {
  const signatures = functions.map(signatureOf).join('\n');
  const met = modules.flatMap(typesOf).filter((name) => new RegExp(`\\b${name}\\b`).test(signatures));
  expect(minor.length).toBeLessThanOrEqual(5);
  expect(met.filter((name) => !types.includes(name)).toSorted()).toEqual(minor.toSorted());
  const uses = (name: string) => modules.filter((file) => new RegExp(`\\b${name}\\b`).test(textOf(file))).length;
  expect(types.filter((name) => !met.includes(name) && uses(name) < 2)).toEqual([]);
});
