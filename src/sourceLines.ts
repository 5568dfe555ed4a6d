/**
 * Makes the stack trace of a bug name the files and lines of `src`. The built program has other files, but each of its
 * lines is a line of a source; the comments that the build leaves in it (`rolldown.config.js`) say which one.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** `//src/log.ts:12`, or `//:12` in the same file as before: the source of the next line. */
const marker = /^\/\/(src\/\S+)?:(\d+)$/;
const builtFolder = new URL('./', import.meta.url).href;

/** Replaces the places in the folder `built`. Others, and those of a program that was not built so, stay as they are. */
export function withSourceLines(stack: string, built = builtFolder): string {
  return stack.replaceAll(/\(?(file:\/\/[^\s()]+?):(\d+):\d+\)?/g, (place, file: string, line: string) => {
    const source = file.startsWith(built) ? sourceOf(fileURLToPath(file), Number(line)) : null;
    return source === null ? place : `(${source})`;
  });
}

function sourceOf(file: string, line: number): string | null {
  const lines = linesOf(file).slice(0, line);
  const numbered = lines.findLastIndex((text) => marker.test(text));
  const named = lines.findLastIndex((text) => marker.exec(text)?.[1] !== undefined);
  const [, name] = marker.exec(lines[named] ?? '') ?? [];
  const [, , first] = marker.exec(lines[numbered] ?? '') ?? [];
  return name === undefined ? null : `${name}:${Number(first) + line - numbered - 2}`;
}

const known = new Map<string, readonly string[]>();

/** Read once: an upgrade may replace the file while the program runs. */
function linesOf(file: string): readonly string[] {
  let lines = known.get(file);
  if (lines === undefined) {
    lines = readText(file).split('\n');
    known.set(file, lines);
  }
  return lines;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
