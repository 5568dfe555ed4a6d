/**
 * Reads a configuration file: bytes, UTF-8, YAML, schema. Returns either the configuration or every problem, sorted by
 * position. A file that cannot be read is a problem too, not an exception.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { z } from 'zod';
import type { Config, RedisConfig } from './config.ts';
import { describeIssue, findingsOf, formatPath, type Problem } from './problems.ts';
import { redisSchema, toRedisConfig } from './redisSchema.ts';
import { type ConfigRules, configSchema } from './schema.ts';
import { section } from './values.ts';
import { readYaml } from './yaml.ts';

export type Loaded<T = Config> =
  | { readonly ok: true; readonly config: T }
  | { readonly ok: false; readonly problems: readonly Problem[] };

export type LoadedText =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Enough for about 200,000 groups. */
const maxBytes = 32 * 1024 * 1024;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file: run "invite-rotator init", or name the file with --config or ROTATOR_CONFIG',
  EISDIR: 'cannot be read: it is a folder',
  EACCES: 'cannot be read: permission denied',
};

/** `file`: an absolute path. */
export async function loadConfig(file: string, rules: ConfigRules = {}): Promise<Loaded> {
  const read = await readConfigText(file);
  return read.ok ? parseConfig(read.text, file, rules) : read;
}

/**
 * Reads only the section `redis`. It parses and checks no other section if the file allows that, so it is fast with any
 * number of groups, and a problem elsewhere does not matter.
 */
export async function loadRedisConfig(file: string): Promise<Loaded<RedisConfig>> {
  const read = await readConfigText(file);
  if (!read.ok) return read;
  const schema = z.object({ redis: section(redisSchema) }).transform(({ redis }) => toRedisConfig(redis, file));
  const cut = parse(redisSection(read.text), file, schema);
  // A section that is wrong on its own may use an anchor of another one.
  return cut.ok ? cut : parse(read.text, file, schema);
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

export async function readConfigText(file: string): Promise<LoadedText> {
  const refuse = (message: string): LoadedText => ({
    ok: false,
    problems: [{ file, line: 1, column: 1, path: '', message }],
  });
  const chunks: Buffer[] = [];
  try {
    // Reads at most one byte too many, because the file may be a pipe or a device without an end.
    for await (const chunk of createReadStream(file, { end: maxBytes })) chunks.push(chunk as Buffer);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    return refuse(reasons[code] ?? `cannot be read: ${code}`);
  }
  const bytes = Buffer.concat(chunks);
  if (bytes.length > maxBytes) return refuse(`is larger than ${maxBytes / 1024 / 1024} MiB`);
  try {
    return { ok: true, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return refuse('is not UTF-8 text');
  }
}

/** `file`: an absolute path, used in messages and to resolve relative paths in the file. */
export function parseConfig(text: string, file: string, rules: ConfigRules = {}): Loaded {
  return parse(text, file, configSchema(file, hashOf(text), rules));
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

function parse<T>(text: string, file: string, schema: z.ZodType<T>): Loaded<T> {
  const yaml = readYaml(text);
  const problems: Problem[] = yaml.faults.map((fault) => ({ file, ...fault, path: '' }));
  if (yaml.values !== null) {
    const parsed = schema.safeParse(yaml.values.root, { error: describeIssue, reportInput: true });
    if (parsed.success && problems.length === 0) return { ok: true, config: parsed.data };
    for (const finding of findingsOf(parsed.error?.issues ?? [])) {
      problems.push({ file, ...yaml.placeOf(finding), path: formatPath(finding.path), message: finding.message });
    }
  }
  return { ok: false, problems: problems.sort((a, b) => a.line - b.line || a.column - b.column) };
}
