/**
 * Reads a configuration: bytes, UTF-8, YAML, schema. Returns either the configuration or every problem, sorted by file
 * and position. A file that cannot be read is a problem too, not an exception.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { RedisConfig } from './config.ts';
import type { Loaded } from './explain.ts';
import { parseSources } from './parse.ts';
import { parse } from './parser.ts';
import { describeIssue, findingsOf, formatPath } from './problems.ts';
import { redisSchema, toRedisConfig } from './redisSchema.ts';
import type { ConfigRules } from './schema.ts';
import { readSimply } from './simpleYaml.ts';
import { readSource, readSources } from './sources.ts';
import { section } from './values.ts';
import { readYaml } from './yaml.ts';

export type { Loaded } from './explain.ts';

/** `file`: an absolute path. */
export async function loadConfig(file: string, rules: ConfigRules = {}): Promise<Loaded> {
  const read = await readSources(file);
  return read.ok ? await parse({ sources: read.value, rules, known: new Map() }) : read;
}

/** Of one text that includes no others. `file`: an absolute path, for messages and for relative paths in the text. */
export function parseConfig(text: string, file: string, rules: ConfigRules = {}): Loaded {
  const main = { file, text, digest: createHash('sha256').update(text).digest('hex') };
  return parseSources({ sources: { main, included: [], inclusions: [], problems: [] }, rules, known: new Map() });
}

/**
 * Reads only the section `redis`. It parses and checks no other section if the file allows that, so it is fast with any
 * number of groups, and a problem elsewhere does not matter.
 */
export async function loadRedisConfig(file: string): Promise<Loaded<RedisConfig>> {
  const read = await readSource(file);
  if (!read.ok) return read;
  const { text } = read.value;
  const cut = parseRedis(redisSection(text), file);
  // A section that is wrong on its own may use an anchor of another one.
  return cut.ok ? cut : parseRedis(text, file);
}

/** The lines of the section `redis`, with their line numbers; the whole text if the section cannot be cut out. */
function redisSection(text: string): string {
  if (!/\bredis["']?\s*:/.test(text)) return '{}';
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith('redis:'));
  if (start === -1) return text;
  const end = lines.findIndex((line, i) => i > start && /^[^\s#]/.test(line));
  return '\n'.repeat(start) + lines.slice(start, end === -1 ? lines.length : end).join('\n');
}

function parseRedis(text: string, file: string): Loaded<RedisConfig> {
  const schema = z.object({ redis: section(redisSchema) }).transform(({ redis }) => toRedisConfig(redis, file));
  const simple = schema.safeParse(readSimply(text)?.root);
  if (simple.success) return { ok: true, config: simple.data };
  const { faults, values, placeOf } = readYaml(text);
  const problems = faults.map((fault) => ({ file, ...fault, path: '' }));
  const parsed = values && schema.safeParse(values.root, { error: describeIssue, reportInput: true });
  if (parsed?.success && problems.length === 0) return { ok: true, config: parsed.data };
  for (const finding of findingsOf(parsed?.error?.issues ?? [])) {
    problems.push({ file, ...placeOf(finding), path: formatPath(finding.path), message: finding.message });
  }
  return { ok: false, problems: problems.sort((a, b) => a.line - b.line || a.column - b.column) };
}
