/** docs/operations.md and the alerts agree with the table of error codes in the code. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { errorCodes } from '../../src/contract/errorCodes.ts';
import { adviceFor, policies } from '../../src/ryze/policy.ts';
import { span } from '../../src/status/format.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(`${root}docs/operations.md`, 'utf8');
const section = page.split(/^## /m).find((part) => part.startsWith('Error codes\n')) ?? '';
const rows = [...section.matchAll(/^\| `(\w+)`(.*)$/gm)].map(([, code = '', rest = '']) => [
  code,
  ...rest
    .split(' | ')
    .map((cell) => cell.replace(/\|\s*$/, '').trim())
    .filter((cell) => cell !== '' && cell !== '|'),
]);

it('lists every error code with its scope, its pause, whether it is retried, and what to do', () => {
  const wanted = errorCodes.map((code) => {
    const { scope, pause, retried, advice } = policies[code];
    const paused = pause === null ? '-' : `${span(pause.firstMs)} to ${span(pause.maxMs)}`;
    return [code, `the ${scope}`, paused, retried ? 'yes' : 'no', advice];
  });
  expect(rows).toEqual(wanted);
});

it('raises a page for the pauses that only a person can end', () => {
  const alerts = readFileSync(`${root}config/alerts.yaml`, 'utf8');
  const [, reasons = ''] = /gate_closed\{reason=~"(.*?)"\}/.exec(alerts) ?? [];
  const forPeople = errorCodes.filter((code) => {
    const { scope, pause } = policies[code];
    return scope === 'instance' && pause?.provenBy === 'read';
  });
  expect(reasons.split('|').sort()).toEqual([...forPeople].sort());
});

it('gives no advice for an unknown reason', () => {
  expect(adviceFor('suspected')).not.toBe('');
  expect(adviceFor('constructor')).toBe('');
});
