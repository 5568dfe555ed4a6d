/**
 * Turns the texts of a configuration into the configuration, or into every problem, sorted by file and position. Pure.
 *
 * Valid files are checked one by one, and then whether they fit together. A file whose text did not change is not parsed
 * again. Positions cost more than all of that, so they are only found once there is a problem.
 */
import { createHash } from 'node:crypto';
import { deserialize, serialize } from 'node:v8';
import type { z } from 'zod';
import type { Config } from './config.ts';
import { explain } from './explain.ts';
import { readPlainly } from './plainYaml.ts';
import type { Problem } from './problems.ts';
import { assemble, type ConfigRules, type FileKeys, includedSchema, mainSchema } from './schema.ts';
import { readSimply } from './simpleYaml.ts';
import { originOf, type Source, type Sources } from './sources.ts';
import { readYaml } from './yaml.ts';

/** The keys of valid files, by their paths. */
export type Known = ReadonlyMap<string, KnownFile>;

interface KnownFile {
  /** Of the text. */
  readonly digest: string;
  /** Serialized, because they are kept for as long as the file is in force, and cross threads. */
  readonly keys: Uint8Array;
}

export interface ParseRequest {
  readonly sources: Sources;
  readonly rules: ConfigRules;
  /** What earlier calls have found. */
  readonly known: Known;
}

export type Parsed =
  | {
      readonly ok: true;
      readonly config: Config;
      /** Identifies all settings: two texts that differ in comments have the same. */
      readonly settings: string;
      readonly known: Known;
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

export function parseSources(request: ParseRequest): Parsed {
  const parsed = parseValid(request);
  if (parsed !== null) return parsed;
  const explained = explain(request.sources, request.rules);
  if (!explained.ok) return explained;
  return { ...explained, settings: settingsOf(explained.config), known: new Map() };
}

/** Null if a file has a problem. */
function parseValid({ sources, rules, known }: ParseRequest): Parsed | null {
  const { main, included, problems } = sources;
  if (problems.length > 0) return null;
  const kept = new Map<string, KnownFile>();
  function keysOf<T>(source: Source, schema: z.ZodType<T>): T | null {
    const { file, digest } = source;
    const before = known.get(file);
    if (before?.digest === digest) {
      kept.set(file, before);
      return deserialize(before.keys) as T;
    }
    const { data } = schema.safeParse(valuesOf(source.text));
    if (data === undefined) return null;
    kept.set(file, { digest, keys: serialize(data) });
    return data;
  }
  const keys = keysOf(main, mainSchema);
  if (keys === null) return null;
  const groups = [keys.groups];
  for (const source of included) {
    const own = keysOf(source, includedSchema);
    if (own === null) return null;
    groups.push(own.groups);
  }
  const all: FileKeys = { ...keys, groups: groups.flat() };
  if (all.groups.length === 0 && rules.needsGroups !== false) return null;
  const config = assemble(all, originOf(sources));
  return config && { ok: true, config, settings: settingsOf(config), known: kept };
}

/** Undefined if it is not valid YAML. */
function valuesOf(text: string): unknown {
  const plain = readPlainly(text) ?? readSimply(text);
  if (plain !== null) return plain.root;
  const { faults, values } = readYaml(text);
  return faults.length === 0 ? values?.root : undefined;
}

function settingsOf(config: Config): string {
  const hash = createHash('sha256');
  const { groups, groupsById, groupsByJid, hash: _text, ...others } = config;
  hash.update(JSON.stringify(others));
  for (const group of groups) hash.update(JSON.stringify(group));
  return hash.digest('hex');
}
