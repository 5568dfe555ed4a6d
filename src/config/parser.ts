/**
 * Parses the texts of a configuration: small ones at once, large ones in a thread of their own, so that the event loop
 * never waits for them. The thread ends with the result. If it fails, that is a problem of the file.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Config, GroupConfig } from './config.ts';
import { type Parsed, type ParseRequest, parseSources } from './parse.ts';
import type { Part } from './parseThread.ts';
import type { Problem } from './problems.ts';
import { deepFreeze } from './schema.ts';
import type { Sources } from './sources.ts';

/** Characters. At a start nothing else waits, and below this a thread only takes longer. */
const maxAtOnce = 1_000_000;
/** Characters that are parsed within 50 ms. An edit comes while rotations run. */
export const maxAtOnceOfEdit = 100_000;

const builtThread = new URL('./parseThread.js', import.meta.url);

/** `thread`: its program. Where that is not built, as in tests of the sources, all files are parsed at once. */
export async function parse(request: ParseRequest, thread: URL = builtThread, max = maxAtOnce): Promise<Parsed> {
  const isLarge = sizeOf(request.sources) > max;
  return isLarge && existsSync(thread) ? await parseInThread(request, thread) : parseSources(request);
}

function sizeOf({ main, included }: Sources): number {
  return [main, ...included].reduce((sum, { text }) => sum + text.length, 0);
}

async function parseInThread(request: ParseRequest, thread: URL): Promise<Parsed> {
  const worker = new Worker(thread, { workerData: request });
  const failed = new AbortController();
  worker.on('error', (error) => failed.abort(error));
  worker.on('exit', () => failed.abort(new Error('its thread ended')));
  try {
    return await receive(async () => {
      worker.postMessage('next');
      const [part] = (await once(worker, 'message', { signal: failed.signal })) as [Part];
      return part;
    });
  } catch (error) {
    const message = `cannot be checked: ${describeError(failed.signal.aborted ? failed.signal.reason : error)}`;
    return { ok: false, problems: [{ file: request.sources.main.file, line: 1, column: 1, path: '', message }] };
  } finally {
    await worker.terminate();
  }
}

function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Puts the parts together, a few at a time. */
async function receive(next: () => Promise<Part>): Promise<Parsed> {
  let head: Extract<Part, { kind: 'config' }> | null = null;
  const problems: Problem[] = [];
  const groups: GroupConfig[] = [];
  const groupsById = new Map<string, GroupConfig>();
  const groupsByJid = new Map<string, GroupConfig>();
  for (;;) {
    const part = await next();
    if (part.kind === 'end') break;
    if (part.kind === 'config') head = part;
    else if (part.kind === 'problems') problems.push(...part.problems);
    else {
      for (const group of deepFreeze(part.groups)) {
        groups.push(group);
        groupsById.set(group.id, group);
        if (group.identifier.kind === 'jid') groupsByJid.set(group.identifier.jid, group);
      }
    }
  }
  if (head === null) return { ok: false, problems };
  const { settings, known } = head;
  const config: Config = { ...deepFreeze(head.config), groups: Object.freeze(groups), groupsById, groupsByJid };
  return { ok: true, config: Object.freeze(config), settings, known };
}
