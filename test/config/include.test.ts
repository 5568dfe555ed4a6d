/** Groups in files of their own, which the main file includes. */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/problems.ts';

const jid = (n: number) => `12036340628900507${n}@g.us`;
const group = (id: string, n: number, more = '') => `groups:\n  - id: ${id}\n    identifier: ${jid(n)}\n${more}`;
const main = (include: string, more = '') =>
  `instances: [{ name: bot, tokenEnv: TOKEN }]\ndefaults: { every: 1d }\ninclude: ${include}\n${more}`;

/** A folder with these files. */
async function folderOf(files: Record<string, string>) {
  const folder = await mkdtemp(join(tmpdir(), 'invite-rotator-include-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
}

/** The ids of the groups, or the problems, without the folder's path. */
async function load(files: Record<string, string>) {
  return await loadFrom(await folderOf(files));
}

async function loadFrom(folder: string) {
  const loaded = await loadConfig(join(folder, 'rotation.yaml'));
  if (loaded.ok) return loaded.config.groups.map(({ id }) => id);
  return loaded.problems.map((problem) => formatProblem(problem).replaceAll(`${folder}/`, ''));
}

describe('includes', () => {
  it('the files of a pattern, sorted by name, after its own groups', async () => {
    const files = {
      'rotation.yaml': main('groups/*.yaml', group('own', 1)),
      'groups/b.yaml': group('b', 2),
      'groups/a.yaml': `${group('a', 3)}  - { id: c, identifier: ${jid(4)} }\n`,
      'groups/.hidden.yaml': 'nothing',
      'groups/d.yml': 'nothing',
      'groups/sub/e.yaml': 'nothing',
    };
    expect(await load(files)).toEqual(['own', 'a', 'c', 'b']);
  });

  it('single files and several patterns, each file once, and never itself', async () => {
    const files = {
      'rotation.yaml': main('[./b.yaml, "*.yaml", teams/team-*.yaml, ../x/../*.nothing]'),
      'a.yaml': group('a', 1),
      'b.yaml': group('b', 2),
      'teams/team-1.yaml': group('one', 3),
      'teams/other.yaml': 'nothing',
    };
    expect(await load(files)).toEqual(['b', 'a', 'one']);
  });

  it('an empty list and a pattern without files, as long as there is a group', async () => {
    const files = { 'rotation.yaml': main('[a.yaml, "x*.yaml"]', group('own', 1)), 'a.yaml': 'groups: []\n' };
    expect(await load(files)).toEqual(['own']);
    expect(await load({ ...files, 'rotation.yaml': main('[a.yaml, "x*.yaml"]') })).toEqual([
      'rotation.yaml:3:10 include: neither this file nor an included one has a group',
    ]);
  });

  it('symbolic links, as in a mounted ConfigMap', async () => {
    const folder = await folderOf({ 'rotation.yaml': main('groups/*.yaml'), 'groups/..v1/a.yaml': group('a', 1) });
    await symlink('..v1', join(folder, 'groups', '..data'));
    await symlink('..data/a.yaml', join(folder, 'groups', 'a.yaml'));
    expect(await loadFrom(folder)).toEqual(['a']);
  });

  it('wherever the key stands', async () => {
    const rest = 'instances: [{ name: bot, tokenEnv: TOKEN }]\ndefaults: { every: 1d }\n';
    for (const text of [
      `include:\n- a.yaml\n${rest}`,
      `include: a.yaml\r\n${rest.replaceAll('\n', '\r\n')}`,
      `include:\r\n  - "*.nothing"\r\n  - a.yaml\r\n${rest.replaceAll('\n', '\r\n')}`,
      `{\ninclude: a.yaml,\ninstances: [{ name: bot, tokenEnv: TOKEN }],\ndefaults: { every: 1d }\n}\n`,
      `${rest}"include": # files\n  # one\n  - a.yaml`,
      `{ instances: [{ name: bot, tokenEnv: TOKEN }], defaults: { every: 1d }, include: a.yaml }`,
      `${rest.replace('1d', '&every 1d')}include: &a a.yaml\n`,
      `${rest}groups: [{ id: a2, identifier: ${jid(2)}, title: "include: this" }]\ninclude: [a.yaml]\n`,
    ]) {
      expect(await load({ 'rotation.yaml': text, 'a.yaml': group('a', 1) }), text).toContain('a');
    }
  });
});

describe('reports', () => {
  it('every problem of every file at its own place', async () => {
    const files = {
      'rotation.yaml': main('["*.yaml"]', `${group('own', 1, '    every: soon\n')}retry: { attempts: 0 }\n`),
      'a.yaml': group('b c', 2),
      'b.yaml': `${group('b', 3)}    evry: 2d\n  - id: c\nretry: {}\ninclude: c.yaml\n`,
      'c.yaml': '# nothing\n',
      'd.yaml': 'groups:\n',
      'e.yaml': 'groups:\n  - { id: e\n  - { id: f }\n',
    };
    expect(await load(files)).toEqual([
      'rotation.yaml:7:12 groups[0].every: expected a duration like 250ms, 30s, 5m, 6h, 7d or 1w, found "soon"',
      'rotation.yaml:8:20 retry.attempts: expected a whole number from 1 to 100',
      'a.yaml:2:9 groups[0].id: expected 1 to 64 of a-z, 0-9, "_" or "-", beginning with a letter or digit',
      'b.yaml:4:5 groups[0].evry: unknown key "evry"; did you mean "every"?',
      'b.yaml:5:5 groups[1].identifier: is required',
      'b.yaml:6:1 retry: belongs into the main file: an included file has only "groups"',
      'b.yaml:7:1 include: belongs into the main file: an included file has only "groups"',
      'c.yaml:1:1 expected a map of settings, found nothing',
      'd.yaml:1:1 groups: expected a list, found nothing',
      expect.stringMatching(/^e\.yaml:3:\d+ not valid YAML/),
    ]);
  });

  it('groups that two files have, with both places', async () => {
    const files = {
      'rotation.yaml': main('"*.yaml"', group('own', 1)),
      'a.yaml': `${group('a', 2)}  - { id: b, identifier: ${jid(2)} }\n`,
      'b.yaml': `${group('own', 3)}  - { id: c, identifier: ${jid(2)} }\n`,
    };
    const folder = await folderOf(files);
    expect(await loadFrom(folder)).toEqual([
      'a.yaml:4:26 groups[1].identifier: is the same as groups[0].identifier',
      'b.yaml:2:9 groups[0].id: is the same as groups[0].id in rotation.yaml:5:9',
      'b.yaml:4:26 groups[1].identifier: is the same as groups[0].identifier in a.yaml:3:17',
    ]);
  });

  it('what does not fit the main file', async () => {
    const files = {
      'rotation.yaml': main('a.yaml').replace('{ every: 1d }', '{}'),
      'a.yaml': group('a', 2, '    instance: bto\n'),
    };
    expect(await load(files)).toEqual([
      'a.yaml:2:5 groups[0]: needs "every" or "cron", here or in defaults',
      'a.yaml:4:15 groups[0].instance: no instance is named "bto"; did you mean "bot"?',
    ]);
  });

  it.each([
    ['a.yaml', 'there is no file "a.yaml" (paths start at the folder of this file)'],
    ['x/*.yaml', 'there is no folder "x" (paths start at the folder of this file)'],
    ['groups/', 'names a folder: add the name of the file, as in groups/*.yaml'],
    ['g*/a.yaml', 'expected "*" only in the name of the file: name each folder on its own'],
    ['"**.yaml"', 'expected "*" only in the name of the file: name each folder on its own'],
    ['"{a,b}.yaml"', 'only "*" has a meaning in a pattern: write ? [ ] { } and \\ as "*"'],
    ['""', 'expected the path of a file, or a pattern such as groups/*.yaml'],
    ['5', 'expected the path of a file, or a pattern such as groups/*.yaml, or a list of them'],
  ])('include: %s', async (include, message) => {
    expect(await load({ 'rotation.yaml': main(include, group('own', 1)) })).toEqual([
      `rotation.yaml:3:10 include: ${message}`,
    ]);
  });

  it('one wrong entry of a list, and other problems beside it', async () => {
    const text = main('\n  - a.yaml\n  - b?.yaml', group('own', 1, '    every: soon\n'));
    expect(await load({ 'rotation.yaml': text })).toEqual([
      'rotation.yaml:4:5 include[0]: there is no file "a.yaml" (paths start at the folder of this file)',
      'rotation.yaml:5:5 include[1]: only "*" has a meaning in a pattern: write ? [ ] { } and \\ as "*"',
      expect.stringMatching(/^rotation.yaml:9:12 groups\[0\]\.every/),
    ]);
  });

  it('an included file that cannot be read', async () => {
    const folder = await folderOf({ 'rotation.yaml': main('"*.yaml"', group('own', 1)), 'b.yaml': '\u0000' });
    await symlink('nowhere', join(folder, 'a.yaml'));
    await writeFile(join(folder, 'b.yaml'), Buffer.from([0xff, 0xfe]));
    await mkdir(join(folder, 'c.yaml'));
    execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', join(folder, 'd.yaml')]);
    expect(await loadFrom(folder)).toEqual([
      'a.yaml:1:1 cannot be read: there is no such file',
      'b.yaml:1:1 is not UTF-8 text',
      'c.yaml:1:1 cannot be read: it is a folder',
      'd.yaml:1:1 cannot be read: it is not a file',
    ]);
  });

  it('a path that leads nowhere, other than one that is missing', async () => {
    const folder = await folderOf({ 'rotation.yaml': main('[loop/*.yaml, loop]', group('own', 1)) });
    await symlink('loop', join(folder, 'loop'));
    expect(await loadFrom(folder)).toEqual([
      'rotation.yaml:3:11 include[0]: the folder "loop" cannot be read: ELOOP',
      'rotation.yaml:3:24 include[1]: the file "loop" cannot be read: ELOOP',
    ]);
  });
});

it('takes a file that vanishes while the others are read as if it had been deleted before', async () => {
  const names = Array.from({ length: 300 }, (_, i) => `groups/g${String(i).padStart(3, '0')}.yaml`);
  const folder = await folderOf({
    'rotation.yaml': main('groups/*.yaml', group('own', 1)),
    ...Object.fromEntries(names.map((name) => [name, 'groups: []'])),
  });
  const loading = loadFrom(folder);
  // The last ones, so that they are listed, and gone before they are read.
  await Promise.all(names.slice(200).map((name) => rm(join(folder, name))));
  expect(await loading).toEqual(['own']);
});

it.each(['"incl\\u0075de"', '"\\x69nclude"'])('finds the key %s, which is written with an escape', async (key) => {
  const text = main('groups/*.yaml', group('own', 1)).replace('include:', `${key}:`);
  expect(await load({ 'rotation.yaml': text, 'groups/a.yaml': group('a', 2) })).toEqual(['own', 'a']);
});
