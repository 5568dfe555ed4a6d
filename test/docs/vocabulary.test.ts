/** The docs and the messages of the program use standard terms. The private words of earlier versions do not come back. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Phrases that have no meaning in plain English, or only a private one here. */
const privateWords = [
  'left alone',
  'in vain',
  'anew',
  'at the (?:most|least)',
  'told of',
  'tells? of',
  '(?:is|are|was|were) told',
  'worst clash',
  'nobody waits',
  'needs you',
  'unforeseen',
  'whoever',
  'for good',
  'by itself',
  'struck (?:off|out)',
  'strike off',
  '(?:is|are) no \\w+ (?:like|such)',
  'is none of',
];
const found = new RegExp(`\\b(?:${privateWords.join('|')})\\b`, 'gi');

function filesIn(folder: string, ending: RegExp): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => ending.test(name)).map((name) => join(folder, name));
}

/** Each hit with its file. */
function hits(path: string, text: string): string[] {
  return [...text.replace(/\s+/g, ' ').matchAll(found)].map(([word]) => `${path}: ${word}`);
}

const read = (path: string) => readFileSync(join(root, path), 'utf8');

it('the docs', () => {
  // The changelog quotes what was renamed.
  const pages = ['README.md', 'CONTRIBUTING.md', ...filesIn('docs', /\.md$/), ...filesIn('examples', /\.md$/)];
  const settings = filesIn('config', /\.ya?ml$/);
  expect([...pages, ...settings].flatMap((path) => hits(relative(root, join(root, path)), read(path)))).toEqual([]);
});

it('the messages of the program', () => {
  const literals = /'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g;
  const messages = filesIn('src', /\.ts$/).flatMap((path) => {
    const code = read(path).replace(/^\s*(?:\/\*\*?[\s\S]*?\*\/|\/\/.*)$/gm, '');
    return [...code.matchAll(literals)].flatMap(([text]) => hits(path, text));
  });
  expect(messages).toEqual([]);
});
