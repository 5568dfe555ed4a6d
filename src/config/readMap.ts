/**
 * Reads one map of the file by its schema, key by key, so that one wrong key does not hide another, and checks of
 * several keys can run on those that are right. Maps inside the map, and lists of maps, are left to the caller.
 */
import { z } from 'zod';
import { describeIssue, found, unknownKey } from './describe.ts';
import type { Path, Report } from './problems.ts';

export interface MapRead<S extends z.ZodRawShape> {
  /** Where the map stands. */
  readonly at: Path;
  /** What the file says, defaults included, of each key that is right. */
  readonly values: Partial<z.output<z.ZodObject<S>>>;
  /** Known keys that the file sets, right or wrong. */
  readonly set: ReadonlySet<string>;
  /** Whether it holds unknown keys: one of them may be what seems to be missing. */
  readonly strays: boolean;
  /** False where anything in it was reported. */
  readonly sound: boolean;
}

/** `value`: what the file has there; nothing (a section that is empty or left out) reads as an empty map. */
export function readMap<S extends z.ZodRawShape>(
  schema: z.ZodObject<S>,
  value: unknown,
  at: Path,
  report: Report,
): MapRead<S> {
  if (value !== undefined && value !== null && !isMap(value)) {
    // An entry of a list may be a code or a token that lost its key.
    const quoted = typeof at.at(-1) === 'string';
    report(at, `expected a map, found ${found(value, quoted)}`);
    return { at, values: {}, set: new Set(), strays: false, sound: false };
  }
  const raw = isMap(value) ? value : {};
  const values: Record<string, unknown> = {};
  const strays = reportUnknownKeys(schema, raw, at, report) > 0;
  let sound = !strays;
  for (const [key, field] of Object.entries(schema.shape) as [string, z.ZodType][]) {
    if (holdsMaps(field)) continue;
    const given = Object.hasOwn(raw, key) ? raw[key] : undefined;
    const parsed = field.safeParse(given, { reportInput: true });
    if (parsed.success) {
      if (parsed.data !== undefined) values[key] = parsed.data;
      continue;
    }
    sound = false;
    for (const issue of parsed.error.issues) {
      const { path, message } = describeIssue(issue, [...at, key]);
      report(path, message);
    }
  }
  return { at, values: values as MapRead<S>['values'], set: new Set(Object.keys(raw)), strays, sound };
}

/** Returns how many there are. */
export function reportUnknownKeys(schema: z.ZodObject, raw: object, at: Path, report: Report): number {
  const known = Object.keys(schema.shape);
  const unknown = Object.keys(raw).filter((key) => !known.includes(key));
  for (const key of unknown) report([...at, key], unknownKey(at, key, known), true);
  return unknown.length;
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value of a key of something that may be a map. */
export function valueAt(value: unknown, key: string): unknown {
  return isMap(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function holdsMaps(field: z.ZodType): boolean {
  if (field instanceof z.ZodOptional || field instanceof z.ZodPrefault) return holdsMaps(field.unwrap() as z.ZodType);
  if (field instanceof z.ZodArray) return holdsMaps(field.element as z.ZodType);
  return field instanceof z.ZodObject;
}
