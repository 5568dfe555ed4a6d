/**
 * The program's log: pino, JSON lines, pretty on a terminal. Every line has a stable `event` name. Nothing secret may
 * be logged in the first place; in case it is, known fields are redacted, and whatever looks like an invite link or is
 * a token in use is struck out of the line as it is written.
 */
import { createRequire } from 'node:module';
import { type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino';

export type { Logger } from 'pino';

const secretFields = ['token', 'inviteCode', 'inviteLink', 'previousInviteCode', 'code.invite', 'link', 'url.password'];
const inviteLink = /chat\.whatsapp\.com\/[^\s"'\\]+/g;

const tokens = new Set<string>();

/** From now on this token is struck out of every line. */
export function keepSecret(token: string): void {
  if (token.length >= 4) tokens.add(token);
}

/** Strikes invite links and known tokens out of a text. */
export function withoutSecrets(text: string): string {
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
      hooks: { streamWrite: withoutSecrets },
    },
    stream,
  );
}

/** Loaded only here: a service has no terminal, and starts the sooner. */
function prettily(to: NodeJS.WritableStream): NodeJS.WritableStream {
  const { build } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
  return build({ destination: to, ignore: 'pid,hostname,event', translateTime: 'SYS:HH:MM:ss', sync: true });
}
