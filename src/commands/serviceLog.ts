/** The log of the commands that run until they are stopped. It goes to standard output, and never ends or blocks them. */
import { createLog, createLogStream, type Logger, logLevels } from '../log.ts';
import { CommandError } from './context.ts';

/** Throws a `CommandError` if `LOG_LEVEL` is invalid. */
export function openServiceLog(): Logger {
  return createLog({ level: logLevel(), to: createLogStream(process.stdout, linesLost) });
}

/** The line that replaces log lines which could not be written. */
function linesLost(lines: number): string {
  const line = { level: 40, time: new Date().toISOString(), event: 'log.lost', lines };
  return `${JSON.stringify({ ...line, msg: `${lines} lines of this log could not be written` })}\n`;
}

function logLevel(): string {
  const level = process.env.LOG_LEVEL || 'info';
  if (logLevels.includes(level)) return level;
  throw new CommandError(2, `LOG_LEVEL: "${level}" is not one of ${logLevels.join(', ')}`);
}
