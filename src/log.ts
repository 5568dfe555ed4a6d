/**
 * The program's log: pino, JSON lines, pretty on a terminal. Every line has a stable `event` name.
 *
 * Secrets must not be logged in the first place. In case one is, known fields are redacted, and so is everything in the
 * line that looks like an invite link or is a registered secret.
 */
import { fstatSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import type { Logger } from 'pino';
import { pino, pinoPretty } from './packages.ts';
import { withSourceLines } from './sourceLines.ts';

export type { Logger } from 'pino';

const secretFields = ['token', 'inviteCode', 'inviteLink', 'previousInviteCode', 'code.invite', 'link', 'url.password'];
/** Where an invite link has its code, also in JSON or encoded in another address. */
const beforeCode =
  /chat\.whatsapp\.com(?:\\?\/|%2f)+(?:invite(?:\\?\/|%2f)+)?|whatsapp:(?:\\?\/)*chat(?:\\?\/)*\?code=/;
/** What the program's own texts have in place of a code. */
const placeholder = /^(?:<code>|code|…|\.\.\.|\[redacted\])(?![\w%-])/i;
const inviteLink = new RegExp(`(${beforeCode.source})([^\\s"'\\\\]+)`, 'gi');

const secrets = new Set<string>();

/** Redacts the secret in every line from now on. */
export function registerSecret(secret: string): void {
  if (secret.length >= 4) secrets.add(secret);
}

/** Redacts invite links and registered secrets. */
export function redactSecrets(text: string): string {
  let clean = text.replace(inviteLink, (link, before: string, code: string) =>
    placeholder.test(code) ? link : `${before}[redacted]`,
  );
  for (const secret of secrets) clean = clean.replaceAll(secret, '[redacted]');
  return clean;
}

/** What looks like an invite code of any group: 22 letters and digits, with digits or in both cases. */
const codeLike = /\b(?=[A-Za-z]*\d|[a-z]*[A-Z]|[A-Z]+[a-z])(?=\d*[A-Za-z])[A-Za-z0-9]{22}\b/g;

/** Redacts these codes too, and what looks like one, in a text of a producer, which may name a leaked link. */
export function redactCodes(text: string, codes: readonly string[]): string {
  let clean = redactSecrets(text);
  for (const code of codes) clean = clean.replaceAll(code, '[redacted]');
  return clean.replace(codeLike, '[redacted]');
}

/** An error's text only: ioredis's errors also have the failed command, with records and events as arguments. */
function errorForLog(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = pino().stdSerializers.err(error);
  return { type, message, stack: withSourceLines(stack) };
}

interface LogOptions {
  /** pino's level; `LOG_LEVEL` sets it. */
  readonly level: string;
  /** stderr where stdout is data. */
  readonly to: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];

export function createLog({ level, to }: LogOptions): Logger {
  const stream = to.isTTY ? pretty(to) : to;
  return pino().pino(
    {
      level,
      base: null,
      timestamp: pino().stdTimeFunctions.isoTime,
      redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
      serializers: { err: errorForLog },
      hooks: { streamWrite: redactSecrets },
    },
    stream,
  );
}

function pretty(to: NodeJS.WritableStream): NodeJS.WritableStream {
  return pinoPretty().build({
    destination: to,
    ignore: 'pid,hostname,event',
    translateTime: 'SYS:HH:MM:ss',
    sync: true,
  });
}

/** How much a slow reader may leave unread. */
const maxUnreadBytes = 1_000_000;

type LogTarget = Writable & { readonly fd?: number; readonly isTTY?: boolean };

/**
 * A stream for the log of `start` that never fails and never blocks. Lines are lost if the pipe is closed, the disk is full
 * or a reader does not keep up. They are counted, and `reportLost` makes the line that reports them as soon as a line can
 * be written.
 */
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

/** Returns whether the text was accepted. */
type Deliver = (text: string | Buffer) => boolean;

function toStream(target: Writable): Deliver {
  let isClosed = false;
  target.on('error', () => {
    isClosed = true;
  });
  return (text) => {
    if (isClosed || target.writableLength > maxUnreadBytes) return false;
    target.write(text);
    return true;
  };
}

/** Bypasses Node.js's stream, which is unusable after its first failure, although a full disk may be emptied. */
function toFile(fd: number): Deliver {
  return (text) => {
    try {
      writeFully(fd, text);
      return true;
    } catch {
      return false;
    }
  };
}

/** A full disk may take only a part, and refuses the next one. */
export function writeFully(fd: number, text: string | Buffer): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** Whether the target is written synchronously, without a pipe or a terminal. */
export function isFile(target: LogTarget): boolean {
  if (target.isTTY === true || target.fd === undefined) return false;
  const stats = fstatSync(target.fd);
  return stats.isFile() || stats.isCharacterDevice();
}
