/**
 * Makes the stack trace of a bug name the files and lines of `src`. The built program has other files; the table that the
 * build writes beside them (`rolldown.lines.js`) says where each of their lines is from.
 */
import { readFileSync } from 'node:fs';

const builtFolder = new URL('./', import.meta.url).href;

/** Replaces the places in the folder `built`. Others, and those of a program that was not built so, stay as they are. */
export function withSourceLines(stack: string, built = builtFolder): string {
  return stack.replaceAll(/\(?(file:\/\/[^\s()]+?):(\d+):\d+\)?/g, (place, file: string, line: string) => {
    const source = file.startsWith(built) ? sourceOf(built, file.slice(built.length), Number(line)) : undefined;
    return source === undefined ? place : `(${source})`;
  });
}

function sourceOf(built: string, file: string, line: number): string | undefined {
  let sources = known.get(built);
  if (sources === undefined) {
    sources = readTable(readText(new URL('lines.txt', built)));
    known.set(built, sources);
  }
  return sources.get(file)?.[line - 1];
}

/** Read once: an upgrade may replace the file while the program runs. */
const known = new Map<string, ReadonlyMap<string, readonly string[]>>();

/** For each built file, the source of each of its lines. */
function readTable(text: string): Map<string, string[]> {
  const table = new Map<string, string[]>();
  let sources: string[] = [];
  let [file, next] = ['', 0];
  for (const row of text.split('\n')) {
    const [, named = '', first, letters = ''] = /^(.*):(\d+) (.*)$/.exec(row) ?? [];
    if (first === undefined) {
      sources = [];
      table.set(row, sources);
      continue;
    }
    if (named !== '') file = named;
    next = Number(first);
    for (const letter of letters) {
      next += letter.charCodeAt(0) - 64;
      sources.push(`${file}:${next}`);
      next += 1;
    }
  }
  return table;
}

function readText(file: URL): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
