/**
 * Where `start` writes its log. Trouble with it never ends or stops the work: a closed pipe swallows what follows, a full
 * disk costs the lines that do not fit, and a reader that does not read costs all beyond a bound. What was lost is counted,
 * and reported by a line as soon as one can be written.
 */
import { fstatSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';

/** Lines that a slow reader has not read yet, in bytes. */
const maxUnread = 1_000_000;

export type LogTarget = Writable & { readonly fd?: number; readonly isTTY?: boolean };

/** `reportLost` makes the line that says how many were lost. */
export function createLogStream(target: LogTarget, reportLost: (lines: number) => string): LogTarget {
  const deliver = isFile(target) ? toFile(target.fd ?? 1) : toStream(target);
  let lost = 0;
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      if (lost > 0 && deliver(reportLost(lost))) lost = 0;
      if (lost > 0 || !deliver(chunk)) lost += 1;
      done();
    },
  });
  return Object.assign(stream, { isTTY: target.isTTY === true });
}

/** Whether the text was taken. */
type Deliver = (text: string | Buffer) => boolean;

function toStream(target: Writable): Deliver {
  let isClosed = false;
  target.on('error', () => {
    isClosed = true;
  });
  return (text) => {
    if (isClosed || target.writableLength > maxUnread) return false;
    target.write(text);
    return true;
  };
}

/** Past Node.js's own stream, which is unusable after the first failure: a full disk may be emptied. */
function toFile(fd: number): Deliver {
  return (text) => {
    const bytes = Buffer.from(text);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      return true;
    } catch {
      return false;
    }
  };
}

function isFile(target: LogTarget): boolean {
  if (target.isTTY === true || target.fd === undefined) return false;
  const stats = fstatSync(target.fd);
  return stats.isFile() || stats.isCharacterDevice();
}
