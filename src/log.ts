/**
 * The program's log: pino, JSON lines, pretty on a terminal. Every line has a stable `event` name. Nothing secret may
 * be logged in the first place; in case it is, known fields are redacted, and whatever looks like an invite link or is
 * a token in use is struck out of the line as it is written.
 */
import { fstatSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Writable } from 'node:stream';
import { type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino';

export type { Logger } from 'pino';

const secretFields = ['token', 'inviteCode', 'inviteLink', 'previousInviteCode', 'code.invite', 'link', 'url.password'];
const inviteLink = /chat\.whatsapp\.com\/[^\s"'\\]+/g;

const tokens = new Set<string>();

/** From now on this token is struck out of every line. */
export function registerSecret(token: string): void {
  if (token.length >= 4) tokens.add(token);
}

/** Strikes invite links and known tokens out of a text. */
export function redactSecrets(text: string): string {
  let clean = text.replace(inviteLink, 'chat.whatsapp.com/[redacted]');
  for (const token of tokens) clean = clean.replaceAll(token, '[redacted]');
  return clean;
}

/**
 * Only what an error says in words. What else it carries stays out: ioredis's errors carry the command that failed,
 * with records and events among its arguments.
 */
export function errorForLog(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = stdSerializers.err(error);
  return { type, message, stack };
}

export interface LogOptions {
  /** pino's level; `LOG_LEVEL` sets it. */
  readonly level: string;
  /** stderr where stdout is data. */
  readonly to: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];

export function createLog({ level, to }: LogOptions): Logger {
  const stream = to.isTTY ? prettily(to) : to;
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
      serializers: { err: errorForLog },
      hooks: { streamWrite: redactSecrets },
    },
    stream,
  );
}

/** Loaded only here: a service has no terminal, and starts the sooner. */
function prettily(to: NodeJS.WritableStream): NodeJS.WritableStream {
  const { build } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
  return build({ destination: to, ignore: 'pid,hostname,event', translateTime: 'SYS:HH:MM:ss', sync: true });
}

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
