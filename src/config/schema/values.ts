/** Kinds of values that several sections of the file share. Messages say what would be right. */
import { z } from 'zod';
import { durationPattern, formatDuration, parseDuration } from '../duration.ts';

export const hourMs = 3_600_000;
export const dayMs = 86_400_000;

/** A duration between two bounds (milliseconds), in milliseconds. Timers can wait for 24 days at the most. */
export function duration(leastMs: number, mostMs: number) {
  const error = 'expected a duration like 250ms, 30s, 5m, 6h or 7d';
  return z
    .string({ error })
    .regex(durationPattern, { error })
    .transform((text, context) => {
      const ms = parseDuration(text) ?? 0;
      if (ms >= leastMs && ms <= mostMs) return ms;
      const bounds = `between ${formatDuration(leastMs)} and ${formatDuration(mostMs)}`;
      context.issues.push({ code: 'custom', message: `expected a duration ${bounds}, found ${text}`, input: text });
      return z.NEVER;
    });
}

export function count(least: number, most: number) {
  const error = `expected a whole number from ${least} to ${most}`;
  return z.int({ error }).min(least, { error }).max(most, { error });
}

/** Text that a check finds fault with in its own words, or not (null). The text itself is not repeated. */
export function checkedText(expected: string, problemOf: (text: string) => string | null) {
  return z.string({ error: `expected ${expected}` }).superRefine((text, context) => {
    const message = problemOf(text);
    if (message !== null) context.addIssue({ code: 'custom', message });
  });
}

/** Messages name the variable, so what may be the secret itself must not get through as a name. */
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

/** `off`, which is text in YAML 1.2, or `false`. */
export const off = z.literal(['off', false]);
