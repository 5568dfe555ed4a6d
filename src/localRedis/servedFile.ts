/**
 * Which configuration file the data of an embedded Redis belongs to. A start in another directory has other data, and
 * a start with another file takes over data that is not about its groups. Neither is what a person usually wants, so each
 * is noticed: the data folder remembers its file, and a note in the system's folder for temporary files remembers the data
 * folder of each file. Without that note, only the usual folders are searched.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { readNote, writeNote } from '../note.ts';
import { RedisStartError } from '../redis/errors.ts';
import { isEmbeddedRunning } from './embedded.ts';

const noteName = 'configuration.json';
const noteSchema = z.object({ file: z.string() });
const folderSchema = z.object({ folder: z.string() });

/**
 * What to warn of before `file` is used with the data in `dataDir`, or null. Throws a `RedisStartError` if a worker for
 * that file runs with other data.
 */
export function findMismatch(dataDir: string, file: string): string | null {
  const folder = resolve(dataDir);
  const served = servedFile(folder);
  if (served !== null && served !== file)
    return `the data in ${folder} was used with ${served} so far: is ${file} meant?`;
  if (served !== null || existsSync(join(folder, 'appendonlydir'))) return null;
  const other = [...notedFolder(file), ...usualFolders(file)].find((one) => one !== folder && servedFile(one) === file);
  if (other === undefined) return null;
  if (!isEmbeddedRunning(other)) {
    return `the data for ${file} so far is in ${other}, and this start begins with none: start in ${dirname(other)} to use it`;
  }
  throw new RedisStartError(
    `another invite-rotator runs with ${file}, with its data in ${other}: stop it, or set REDIS_URL for both`,
  );
}

export function rememberServedFile(dataDir: string, file: string): void {
  writeFileSync(join(dataDir, noteName), `${JSON.stringify({ file })}\n`, { mode: 0o600 });
  writeNote('data', file, { folder: resolve(dataDir) });
}

/** The data folder of the last start with this file, if a note says so. */
function notedFolder(file: string): string[] {
  const note = readNote('data', file, folderSchema);
  return note === null ? [] : [note.folder];
}

/** Where a start beside the file, or in the folder above `config/`, keeps its data. */
function usualFolders(file: string): string[] {
  return [join(dirname(file), 'data'), resolve(dirname(file), '..', 'data')];
}

function servedFile(folder: string): string | null {
  try {
    return noteSchema.parse(JSON.parse(readFileSync(join(folder, noteName), 'utf8'))).file;
  } catch {
    return null;
  }
}
