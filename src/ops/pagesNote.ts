/**
 * Where this machine's workers serve their pages. A worker leaves a note in the system's folder for temporary files, so
 * that a health check asks the port in force: the file may have been edited since, or name port 0. Without such a folder
 * there is no note, and nothing else changes.
 */
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { identifyProcess, isRunning } from '../localRedis/process.ts';

const noteSchema = z.object({
  process: z.object({ pid: z.int().positive(), startedAt: z.string().nullable() }),
  /** Null: the worker serves no pages. */
  url: z.string().nullable(),
});

/** For the worker of a configuration file. Returns how to remove the note. */
export function notePages(file: string, url: string | null): () => void {
  const path = notePath(file);
  const note = JSON.stringify({ process: identifyProcess(process.pid), url });
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
      // Another worker has replaced it, or there is none.
    }
  };
}

/** Of the worker that runs with this file, or undefined if no running worker has left a note. */
export function notedPages(file: string): { readonly url: string | null } | undefined {
  const path = notePath(file);
  try {
    // Anybody may write to that folder.
    if (statSync(path).uid !== process.getuid?.()) return undefined;
    const note = noteSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    return isRunning(note.process) ? { url: note.url } : undefined;
  } catch {
    return undefined;
  }
}

function notePath(file: string): string {
  const name = createHash('sha256').update(file).digest('hex').slice(0, 16);
  return join(tmpdir(), `invite-rotator-${process.getuid?.() ?? 0}-${name}.json`);
}
