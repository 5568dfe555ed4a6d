/**
 * The thread in which large files are parsed. It hands the result over in parts, each when it is asked for the next one,
 * so that the thread that gets them can do other work between two of them.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { Config, GroupConfig } from './config.ts';
import { type Known, type ParseRequest, parseSources } from './parse.ts';
import type { Problem } from './problems.ts';

export type Part =
  | {
      readonly kind: 'config';
      readonly config: Omit<Config, GroupKeys>;
      readonly settings: string;
      readonly known: Known;
    }
  | { readonly kind: 'groups'; readonly groups: readonly GroupConfig[] }
  | { readonly kind: 'problems'; readonly problems: readonly Problem[] }
  | { readonly kind: 'end' };
type GroupKeys = 'groups' | 'groupsById' | 'groupsByJid';

/** Groups, or problems, of one part: reading them takes a few milliseconds. */
const size = 1_000;

function* partsOf(request: ParseRequest): Generator<Part, void> {
  const parsed = parseSources(request);
  if (parsed.ok) {
    const { groups, groupsById: _byId, groupsByJid: _byJid, ...config } = parsed.config;
    yield { kind: 'config', config, settings: parsed.settings, known: parsed.known };
    for (let from = 0; from < groups.length; from += size)
      yield { kind: 'groups', groups: groups.slice(from, from + size) };
  } else {
    const { problems } = parsed;
    for (let from = 0; from < problems.length; from += size)
      yield { kind: 'problems', problems: problems.slice(from, from + size) };
  }
  yield { kind: 'end' };
}

const parts = partsOf(workerData as ParseRequest);
parentPort?.on('message', () => {
  const { value } = parts.next();
  parentPort?.postMessage(value);
  if (value?.kind === 'end') parentPort?.close();
});
