/** Trouble that repeats itself, as that of an outage does, is reported once a minute, and without the command that failed. */
import { withoutCommand } from '../redis/errors.ts';

const minuteMs = 60_000;

export function onceAMinute(onError: (error: Error) => void): (error: Error) => void {
  /** Message → when it was reported last. */
  const reported = new Map<string, number>();
  return (error) => {
    const safe = withoutCommand(error);
    const now = performance.now();
    for (const [message, at] of reported) if (now - at > minuteMs) reported.delete(message);
    if (reported.has(safe.message)) return;
    reported.set(safe.message, now);
    onError(safe);
  };
}
