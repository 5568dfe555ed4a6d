/** Large files are parsed in a thread. The thread's program is the built one, because Node.js runs no TypeScript there. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { type Known, parseSources } from '../../src/config/parse.ts';
import { maxAtOnceOfEdit, parse } from '../../src/config/parser.ts';
import { formatProblem } from '../../src/config/problems.ts';
import type { Source } from '../../src/config/sources.ts';

const built = new URL('../../dist/parseThread.js', import.meta.url);
const folder = '/etc/rotator';
const digest = (text: string) => createHash('sha256').update(text).digest('hex');
const source = (name: string, text: string): Source => ({ file: `${folder}/${name}`, text, digest: digest(text) });
const group = (id: string, n: number, more = '') => `  - { id: ${id}, identifier: 12036340628900${n}@g.us${more} }\n`;
const main = 'instances: [{ name: bot, tokenEnv: TOKEN }]\ndefaults: { every: 7d }\ninclude: "*.yaml"\n';
/** Makes a text large without more groups. */
const comments = `${`# ${'x'.repeat(998)}\n`.repeat(1_050)}`;
const list = `groups:\n${Array.from({ length: 1_200 }, (_, n) => group(`g${n}`, 1_000 + n)).join('')}`;

const requestOf = (mainText: string, included: readonly Source[] = [], known: Known = new Map()) => ({
  sources: { main: source('rotation.yaml', mainText), included, inclusions: [], problems: [] },
  rules: {},
  known,
});

/** A thread that runs this program instead. */
async function threadOf(program: string): Promise<URL> {
  const path = await mkdtemp(join(tmpdir(), 'invite-rotator-thread-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  await writeFile(join(path, 'thread.mjs'), program);
  return pathToFileURL(join(path, 'thread.mjs'));
}

it('gives the same configuration in a thread as at once, whole and frozen', async () => {
  expect(existsSync(built), 'run npm run build first').toBe(true);
  const request = requestOf(main + list.replace('g7,', 'g7, title: "#7",') + comments);
  const [threaded, direct] = [await parse(request, built), parseSources(request)];
  if (!threaded.ok || !direct.ok) throw new Error('the file is broken');
  expect(threaded.config).toEqual(direct.config);
  expect(threaded.settings).toBe(direct.settings);
  expect(threaded.config.groups[7]).toBe(threaded.config.groupsById.get('g7'));
  const { groups, instances } = threaded.config as unknown as {
    groups: Config['groups'][number][];
    instances: unknown[];
  };
  expect(() => groups.push(groups[0]!)).toThrow();
  expect(() => Object.assign(groups[0]!.schedule, { kind: 'cron' })).toThrow();
  expect(() => instances.push({})).toThrow();
});

it('reports the same problems in a thread as at once', async () => {
  const included = [source('a.yaml', `groups:\n${group('g1', 9_999)}${group('b', 9_998, ', evry: 1d')}`)];
  const request = requestOf(`${main}${list}${comments}retry: { attempts: 0 }\n`, included);
  const [threaded, direct] = [await parse(request, built), parseSources(request)];
  if (threaded.ok || direct.ok) throw new Error('the files are valid');
  expect(threaded.problems.map(formatProblem)).toEqual(direct.problems.map(formatProblem));
  expect(threaded.problems.map(({ file, path }) => `${file.slice(folder.length + 1)} ${path}`)).toEqual([
    'rotation.yaml retry.attempts',
    'a.yaml groups[0].id',
    'a.yaml groups[1].evry',
  ]);
});

const messageOf = (parsed: Awaited<ReturnType<typeof parse>>) =>
  parsed.ok ? 'parsed at once' : parsed.problems.map(({ message }) => message).join();

it('starts a thread for an edit above a hundred thousand characters', async () => {
  const thread = await threadOf("throw new Error('started')");
  const message = async (text: string) => messageOf(await parse(requestOf(text), thread, maxAtOnceOfEdit));
  expect(await message(main + list)).toBe('parsed at once');
  expect(await message(main + list + comments.slice(0, 100_000))).toBe('cannot be checked: started');
});

it('starts a thread only above a million characters, of all files together', async () => {
  const thread = await threadOf("throw new Error('started')");
  const message = async (...request: Parameters<typeof requestOf>) =>
    messageOf(await parse(requestOf(...request), thread));
  expect(await message(main + list)).toBe('parsed at once');
  expect(await message(main + list + comments)).toBe('cannot be checked: started');
  expect(await message(main + list, [source('a.yaml', `groups: []\n${comments}`)])).toBe('cannot be checked: started');
});

it.each([
  ['throws', "throw new Error('no luck')", 'cannot be checked: no luck'],
  ['ends', 'process.exit(3)', 'cannot be checked: its thread ended'],
  [
    'fails later',
    "import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => { throw new RangeError('later'); });",
    'cannot be checked: later',
  ],
  [
    'is of another version',
    "import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => parentPort.postMessage({ kind: 'groups' }));",
    expect.stringMatching(/^cannot be checked: .* not iterable$/),
  ],
])('reports a thread that %s as a problem of the file', async (_name, program, message) => {
  const parsed = await parse(requestOf(main + list + comments), await threadOf(program));
  const file = `${folder}/rotation.yaml`;
  expect(parsed).toEqual({ ok: false, problems: [{ file, line: 1, column: 1, path: '', message }] });
});

it('parses only the files whose text changed, in a thread too', async () => {
  const files = ['a', 'b', 'c'].map((name, n) => source(`${name}.yaml`, `groups:\n${group(name, 9_990 + n)}`));
  for (const more of ['', comments]) {
    const text = main + list + more;
    const first = await parse(requestOf(text, files), built);
    if (!first.ok) throw new Error('the files are broken');
    expect([...first.known.keys()]).toEqual(
      [text, ...files].map((_, i) => (i === 0 ? `${folder}/rotation.yaml` : files[i - 1]!.file)),
    );
    // Texts that cannot be parsed, with the digests of those that could: only b.yaml is read.
    const unread = (one: Source): Source => ({ ...one, text: `[${one.text}` });
    const changed = source('b.yaml', `groups:\n${group('b2', 9_991)}`);
    const { sources, ...rest } = requestOf(text, [unread(files[0]!), changed, unread(files[2]!)], first.known);
    const second = await parse({ ...rest, sources: { ...sources, main: unread(sources.main) } }, built);
    if (!second.ok) throw new Error(second.problems.map(formatProblem).join('\n'));
    expect(second.config.groups.slice(-3).map(({ id }) => id)).toEqual(['a', 'b2', 'c']);
    expect(second.config.groups).toHaveLength(1_203);
  }
});
