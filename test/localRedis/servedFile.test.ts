/** A data folder remembers the configuration file that it serves. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { findMismatch, rememberServedFile } from '../../src/localRedis/servedFile.ts';

afterEach(() => vi.unstubAllEnvs());

function makeProject() {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'invite-rotator-served-')));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  vi.stubEnv('TMPDIR', root);
  const [project, elsewhere] = [join(root, 'project'), join(root, 'elsewhere')];
  for (const folder of [project, elsewhere]) mkdirSync(join(folder, 'data'), { recursive: true });
  const file = join(project, 'config', 'rotation.yaml');
  return { data: join(project, 'data'), elsewhere: join(elsewhere, 'data'), file };
}

it('accepts the first start, and every start with the same file in the same folder', () => {
  const { data, file } = makeProject();
  expect(findMismatch(data, file)).toBeNull();
  rememberServedFile(data, file);
  expect(findMismatch(data, file)).toBeNull();
});

it('notices another file with the same data', () => {
  const { data, file } = makeProject();
  rememberServedFile(data, file);
  expect(findMismatch(data, '/other.yaml')).toBe(
    `the data in ${data} was used with ${file} so far: is /other.yaml meant?`,
  );
});

it('notices a start without data whose file has data in the folder of its project', () => {
  const { data, elsewhere, file } = makeProject();
  rememberServedFile(data, file);
  expect(findMismatch(elsewhere, file)).toMatch(`the data for ${file} so far is in ${data}, and this start begins`);
  expect(findMismatch(elsewhere, '/other.yaml')).toBeNull();
  mkdirSync(join(elsewhere, 'appendonlydir'));
  expect(findMismatch(elsewhere, file)).toBeNull();
});

it('notices it too when the data is in neither folder of the project', () => {
  const { data, elsewhere } = makeProject();
  rememberServedFile(data, '/etc/rotation.yaml');
  const expected = `the data for /etc/rotation.yaml so far is in ${data}, and this start begins with none`;
  expect(findMismatch(elsewhere, '/etc/rotation.yaml')).toMatch(expected);
  expect(findMismatch(elsewhere, '/etc/other.yaml')).toBeNull();
  rmSync(join(data, 'configuration.json'));
  expect(findMismatch(elsewhere, '/etc/rotation.yaml')).toBeNull();
});

it('ignores a damaged note', () => {
  const { data, file } = makeProject();
  writeFileSync(join(data, 'configuration.json'), '{');
  expect(findMismatch(data, file)).toBeNull();
});
