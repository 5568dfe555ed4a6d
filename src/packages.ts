/**
 * Packages that most commands never use. Each is loaded at its first use. A package that a module imports is loaded by
 * every command that loads the module, whether it is used or not.
 */
import nodeModule, { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const load = createRequire(import.meta.url);

export const cliProgress = once(() => load('cli-progress') as typeof import('cli-progress'));
export const cronParser = once(() => load('cron-parser') as typeof import('cron-parser'));
export const ioredis = once(() => load('ioredis') as typeof import('ioredis'));
export const levenshtein = once(() => load('fastest-levenshtein') as typeof import('fastest-levenshtein'));
export const luxon = once(() => load('luxon') as typeof import('luxon'));
export const pino = once(() => load('pino') as typeof import('pino'));
export const pinoPretty = once(() => load('pino-pretty') as typeof import('pino-pretty'));
export const yaml = once(() => load('yaml') as typeof import('yaml'));

/** Node.js keeps compiled code from the first run on, where it can: from 22.8, unless NODE_DISABLE_COMPILE_CACHE is set. */
export function keepCompiledCode(): void {
  const { enableCompileCache } = nodeModule as typeof nodeModule & { enableCompileCache?: () => unknown };
  enableCompileCache?.();
}

/**
 * Error texts in fifty languages, a compiler, and JSON Schemas in both directions. They take half of the time that zod
 * takes to load. Every text here is our own, and `npm run schema` makes the schemas for editors.
 */
const unusedPartsOfZod = [
  'locales/index',
  ...['compile', 'to-json-schema', 'json-schema-processors', 'json-schema-generator', 'json-schema'].map(
    (name) => `core/${name}`,
  ),
  ...['from-json-schema', 'deep-partial', 'in-out', 'coerce', 'compat'].map((name) => `classic/${name}`),
];

/**
 * For commands, not for the library, whose user may want all of zod. A part that another version of zod names differently
 * is loaded.
 */
export function skipUnusedPartsOfZod(): void {
  const folder = dirname(load.resolve('zod'));
  for (const part of unusedPartsOfZod) {
    const file = join(folder, 'v4', `${part}.cjs`);
    load.cache[file] = Object.assign(new nodeModule(file), { exports: {}, loaded: true });
  }
}

/** zod compiles no code for schemas that are used once. Compiled code pays for itself in a process that stays. */
export function interpretSchemas(): void {
  (load('zod') as typeof import('zod')).z.config({ jitless: true });
}

function once<T>(loadPackage: () => T): () => T {
  let loaded: T | undefined;
  return () => {
    loaded ??= loadPackage();
    return loaded;
  };
}
