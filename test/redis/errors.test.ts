import { expect, it } from 'vitest';
import { isConnectionError, refusalOf } from '../../src/redis/errors.ts';

it.each([
  ['NOREPLICAS', 'NOREPLICAS Not enough good replicas to write.'],
  ['OOM', "OOM command not allowed when used memory > 'maxmemory'. script: 0a1b, on @user_script:12."],
  ['OOM', "-OOM command not allowed when used memory > 'maxmemory'."],
  [
    'OOM',
    "ERR Error running script (call to f_0a1b): @user_script:12: @user_script: 12: -OOM command not allowed when used memory > 'maxmemory'.",
  ],
  [
    'MISCONF',
    'ERR Error running script (call to f_0a1b): @user_script:1: @user_script: 1: -MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.',
  ],
  [
    'READONLY',
    "Failed to add repeatable job for next iteration: READONLY You can't write against a read only replica.",
  ],
  ['UNBLOCKED', 'UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)'],
  ['LOADING', 'LOADING Redis is loading the dataset in memory'],
  ['BUSY', 'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.'],
  ['WRONGPASS', 'WRONGPASS invalid username-password pair or user is disabled.'],
])('%s is recognized in: %s', (reason, message) => {
  expect(refusalOf(new Error(message))).toBe(reason);
  expect(isConnectionError(new Error(message))).toBe(true);
});

it('is recognized in the errors of a transaction', () => {
  const oom = new Error("OOM command not allowed when used memory > 'maxmemory'.");
  const aborted = Object.assign(new Error('EXECABORT Transaction discarded because of previous errors.'), {
    previousErrors: [oom],
  });
  expect(refusalOf(aborted)).toBe('OOM');
});

it.each([
  'BUSYGROUP Consumer Group name already exists',
  'BUSYKEY Target key name already exists.',
  'NOPERM this user has no permissions to run the "info" command',
  'WRONGTYPE Operation against a key holding the wrong kind of value',
  'Missing lock for job OOM . moveToFinished',
  'unknown group "OOM x": it is not in the configuration file',
  'ERR unknown command',
])('is not recognized in: %s', (message) => {
  expect(refusalOf(new Error(message))).toBeNull();
});
