import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { createLogStream } from '../src/logStream.ts';
import { until } from './support/until.ts';

const lost = (lines: number) => `lost ${lines}\n`;
const line = `${'x'.repeat(9_999)}\n`;

/** A reader that reads when it is told to. */
function slowReader() {
  let read = false;
  let waiting: (() => void) | null = null;
  const got: string[] = [];
  const target = new Writable({
    write(chunk, _encoding, done) {
      got.push(String(chunk));
      if (read) done();
      else waiting = done;
    },
  });
  const start = () => {
    read = true;
    waiting?.();
  };
  return { target, got, start };
}

it('keeps what a slow reader has not read within a bound, and counts the rest', async () => {
  const { target, got, start } = slowReader();
  const log = createLogStream(target, lost);
  for (let i = 0; i < 500; i++) log.write(line);
  expect(target.writableLength).toBeLessThan(1_100_000);
  const kept = target.writableLength / line.length;
  start();
  await until('it to be read', () => target.writableLength === 0);
  log.write('next\n');
  expect(got.slice(-2)).toEqual([lost(500 - kept), 'next\n']);
});

it('swallows what a closed pipe does not take', async () => {
  const target = new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    },
  });
  const log = createLogStream(target, lost);
  log.write('first\n');
  await until('the pipe to be closed', () => target.destroyed);
  expect(() => log.write('next\n')).not.toThrow();
});
