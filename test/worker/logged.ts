/** A log whose lines a test reads. */
import { Writable } from 'node:stream';
import { createLog } from '../../src/log.ts';

export interface LoggedLine {
  readonly event: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export function testLog() {
  const logged: LoggedLine[] = [];
  const to = new Writable({
    write(line, _encoding, done) {
      logged.push(JSON.parse(String(line)));
      done();
    },
  });
  return { log: createLog({ level: 'info', to }), logged };
}
