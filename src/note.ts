/**
 * Notes that one run of the program leaves for others of the same user on this machine, in the system's folder for
 * temporary files. There is at most one for each purpose and configuration file. Where there is no such folder, nothing is
 * written and nothing is found.
 */
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';

/** What a note is about. */
type Purpose = 'pages' | 'data';

/** Replaces the note. Returns how to remove it, unless another process has replaced it by then. */
export function writeNote(purpose: Purpose, file: string, content: unknown): () => void {
  const path = pathOf(purpose, file);
  const note = JSON.stringify(content);
  try {
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, note, { mode: 0o600, flag: 'wx' });
    renameSync(draft, path);
  } catch {
    // The file system is read-only.
  }
  return () => {
    try {
      if (readFileSync(path, 'utf8') === note) rmSync(path);
    } catch {
      // There is none.
    }
  };
}

/** Null if there is no note, or none of this form. */
export function readNote<T>(purpose: Purpose, file: string, schema: z.ZodType<T>): T | null {
  const path = pathOf(purpose, file);
  try {
    // Anybody may write to that folder.
    if (statSync(path).uid !== process.getuid?.()) return null;
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return null;
  }
}

function pathOf(purpose: Purpose, file: string): string {
  const name = createHash('sha256').update(file).digest('hex').slice(0, 16);
  return join(tmpdir(), `invite-rotator-${process.getuid?.() ?? 0}-${name}.${purpose}.json`);
}
