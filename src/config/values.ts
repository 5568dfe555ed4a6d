/**
 * Kinds of values, lists and maps that several sections of the file share, as zod schemas. Their messages say what is
 * expected. `checkKeys` runs a check across the valid keys of a map, also when other keys of it are wrong.
 */
import { z } from 'zod';
import { durationPattern, durationProblem, formatDuration, parseDuration } from './duration.ts';
import { describeValue, type Path, unknownKeyMessage } from './problems.ts';

export const hourMs = 3_600_000;
export const dayMs = 86_400_000;

/** A duration between two bounds; both the bounds and the result are in milliseconds. */
export function duration(minMs: number, maxMs: number) {
  const error = ({ input }: { readonly input?: unknown }) => durationProblem(input);
  return z
    .string({ error })
    .regex(durationPattern, { error })
    .transform((text, context) => {
      const ms = parseDuration(text) ?? 0;
      if (ms >= minMs && ms <= maxMs) return ms;
      const bounds = `between ${formatDuration(minMs)} and ${formatDuration(maxMs)}`;
      context.issues.push({ code: 'custom', message: `expected a duration ${bounds}, found ${text}`, input: text });
      return z.NEVER;
    });
}

/** A share of a whole, such as `10%`; the result is a fraction. */
export function share(minPercent: number, maxPercent: number) {
  const expected = `expected a share from ${minPercent}% to ${maxPercent}%, such as 10%`;
  const error = ({ input }: { readonly input?: unknown }) => `${expected}; found ${describeValue(input)}`;
  return z
    .string({ error })
    .regex(/^\d{1,3}(\.\d{1,3})?%$/, { error })
    .transform((text, context) => {
      const percent = Number(text.slice(0, -1));
      if (percent >= minPercent && percent <= maxPercent) return percent / 100;
      context.issues.push({ code: 'custom', message: `${expected}; found ${text}`, input: text });
      return z.NEVER;
    });
}

export function integer(min: number, max: number) {
  const error = `expected a whole number from ${min} to ${max}`;
  // Not z.int(): zod skips all further checks of the file once it has seen a fraction.
  return z
    .number({ error })
    .refine((value) => Number.isInteger(value) && value >= min && value <= max, { error })
    .meta({ type: 'integer', minimum: min, maximum: max });
}

/** Text for which `problemOf` returns null. Messages never quote the text, because it may be a secret. */
export function checkedText(
  expected: string,
  problemOf: (text: string) => string | null,
  /** What to add for a number. */
  onNumber = '',
) {
  const error = ({ input }: { readonly input?: unknown }) =>
    `expected ${expected}, found ${describeValue(input, false)}${typeof input === 'number' ? onNumber : ''}`;
  return z.string({ error }).superRefine((text, context) => {
    const message = problemOf(text);
    if (message !== null) context.addIssue({ code: 'custom', message });
  });
}

/** Messages name the variable, so a name that could be the secret itself is refused. */
export function variableName(example: string, secret: string) {
  const expected = `the name of an environment variable such as ${example}`;
  const looksLikeSecret = (name: string) =>
    name.split('_').some((part) => part.length >= 32 || (part.length >= 16 && /\d/.test(part)));
  return checkedText(expected, (name) =>
    /^[A-Za-z_][A-Za-z0-9_]{0,99}$/.test(name) && !looksLikeSecret(name)
      ? null
      : `expected ${expected}, not the ${secret} itself`,
  );
}

export function secretPath(secret: string) {
  const expected = `the path of a file that holds the ${secret}`;
  return checkedText(expected, (path) => (path.trim() === '' || path.includes('\0') ? `expected ${expected}` : null));
}

/** A list that must not be empty. */
export function list<T extends z.ZodType>(entry: T, example = '') {
  const error = ({ input }: { readonly input?: unknown }) =>
    `expected a list with at least one entry${example}, found ${describeValue(input, false)}`;
  return z
    .array(entry, { error })
    .refine((entries) => entries.length > 0, { error })
    .meta({ minItems: 1 });
}

/** A list in which no entry may come twice. Runs only on valid entries, so that it quotes nothing secret. */
export function distinct<T extends z.ZodArray<z.ZodType<string>>>(schema: T): T {
  return schema.superRefine(
    (entries, context) => {
      for (const { index } of duplicatesIn(entries)) {
        context.addIssue({ code: 'custom', path: [index], message: `"${entries[index]}" appears twice` });
      }
    },
    { when: ({ issues }) => issues.length === 0 },
  );
}

/** Each key that occurred before, with the first index at which it did. Null stands for no key. */
export function duplicatesIn(keys: readonly (string | null)[]): { readonly index: number; readonly first: number }[] {
  const firsts = new Map<string, number>();
  return keys.flatMap((key, index) => {
    if (key === null) return [];
    const first = firsts.get(key);
    if (first !== undefined) return [{ index, first }];
    firsts.set(key, index);
    return [];
  });
}

/**
 * A map with exactly these keys. `hints`: what to say of an unknown key that people are likely to write, in lower case.
 */
export function map<S extends z.ZodRawShape>(shape: S, hints: Readonly<Record<string, string>> = {}) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    // One line for each key.
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => unknownKeyMessage(key, known, hints)).join('\n')
        : undefined,
  });
}

/** A map that may be left out or left empty, because each of its keys has a default or is optional. */
export function section<T extends z.ZodType>(schema: T) {
  return z.preprocess((value) => value ?? undefined, schema.prefault({} as z.input<T>));
}

/** A section, or `off`, which YAML 1.2 reads as text. */
export function unlessOff<T extends z.ZodObject>(schema: T) {
  const error = ({ input }: { readonly input?: unknown }) => `expected "off" or a map; found ${describeValue(input)}`;
  return z.union([z.literal(['off', false]), schema], { error });
}

export type Issue = Pick<z.core.$ZodRawIssue, 'code' | 'path'>;

/** A map of the file, of which some keys may be wrong. */
export interface PartlyValid<T> {
  /** The keys without a problem, defaults included. */
  readonly valid: Partial<T>;
  /** Whether the file has a key, be it right or wrong. Always true for a key with a default. */
  has(key: keyof T): boolean;
  /** If it has unknown keys, a key that seems to be missing may only be misspelt. */
  readonly hasUnknownKeys: boolean;
  /** The whole map; null if it has any problem. */
  readonly whole: T | null;
}

/** `issues`: those of this map, with paths that start at it. */
export function partlyValid<T extends object>(value: T, issues: readonly Issue[]): PartlyValid<T> {
  const valid: Partial<T> = issues.length === 0 ? value : { ...value };
  for (const { path = [] } of issues) if (path.length > 0) delete valid[path[0] as keyof T];
  return {
    valid,
    has: (key) => Object.hasOwn(value, key),
    hasUnknownKeys: issues.some(({ code, path = [] }) => code === 'unrecognized_keys' && path.length === 0),
    whole: issues.length === 0 ? value : null,
  };
}

export type Report = (path: Path, message: string) => void;

export function reportTo(context: z.core.$RefinementCtx): Report {
  return (path, message) => context.addIssue({ code: 'custom', path: [...path], message });
}

/** Adds a check across keys of a map. Paths that it reports start at the map. */
export function checkKeys<T extends z.ZodObject>(
  schema: T,
  check: (keys: PartlyValid<z.output<T>>, report: Report) => void,
): T {
  return schema.superRefine((value, context) => check(partlyValid(value, context.issues), reportTo(context)), {
    when: ({ value }) => isMap(value),
  });
}

/** Reports two keys that exclude each other. */
export function checkNotBoth<T>({ has }: PartlyValid<T>, [one, other]: readonly [keyof T, keyof T], report: Report) {
  if (has(one) && has(other)) report([], `has both "${String(one)}" and "${String(other)}": remove one`);
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
