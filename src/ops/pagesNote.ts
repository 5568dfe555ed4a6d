/**
 * Where this machine's workers serve their pages. A worker leaves a note, so that a health check asks the port in force:
 * the file may have been edited since, or name port 0.
 */
import { z } from 'zod';
import { identifyProcess, isRunning } from '../localRedis/process.ts';
import { readNote, writeNote } from '../note.ts';

const noteSchema = z.object({
  process: z.object({ pid: z.int().positive(), startedAt: z.string().nullable() }),
  /** Null: the worker serves no pages. */
  url: z.string().nullable(),
});

/** For the worker of a configuration file. Returns how to remove the note. */
export function notePages(file: string, url: string | null): () => void {
  return writeNote('pages', file, { process: identifyProcess(process.pid), url });
}

/** Of the worker that runs with this file, or undefined if no running worker has left a note. */
export function notedPages(file: string): { readonly url: string | null } | undefined {
  const note = readNote('pages', file, noteSchema);
  return note !== null && isRunning(note.process) ? { url: note.url } : undefined;
}
