/** CONTRIBUTING.md and docs/security.md agree with package.json and its lock file. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const { dependencies, optionalDependencies } = JSON.parse(read('package.json')) as Record<
  'dependencies' | 'optionalDependencies',
  Record<string, string>
>;
const { packages } = JSON.parse(read('package-lock.json')) as {
  packages: Record<string, { version: string; integrity?: string; dev?: true; optional?: true; devOptional?: true }>;
};

it('gives a reason for each dependency, and for no other', () => {
  for (const [heading, listed] of [
    ['dependency', dependencies],
    ['optional dependency', optionalDependencies],
  ] as const) {
    const table = read('CONTRIBUTING.md').split(`| ${heading} `)[1]?.split('\n\n')[0] ?? '';
    const named = [...table.matchAll(/^\| ([@\w][@\w, /-]*?) +\|/gm)].flatMap(([, cell = '']) => cell.split(', '));
    expect(named.sort()).toEqual(Object.keys(listed).sort());
  }
});

it('counts the packages that they install, each with an exact version and a checksum', () => {
  const all = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  const optional = all.filter(([, one]) => one.optional === true || one.devOptional === true);
  const needed = all.length - optional.length;
  const text = read('docs/security.md').replaceAll('\n', ' ');
  expect(text).toContain(`${Object.keys(dependencies).length} packages, each with its reason`);
  expect(text).toContain(`bring ${needed} in all (and ${optional.length} optional ones)`);
  for (const [path, { integrity }] of all) expect(integrity, path).toMatch(/^sha512-/);
  for (const version of Object.values({ ...dependencies, ...optionalDependencies }))
    expect(version).toMatch(/^\d+\.\d+\.\d+$/);
});
