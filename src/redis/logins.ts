/** Passwords that may be changed while the program runs: they are read again when Redis refuses them, and on reload. */
import type { Logins } from './connection.ts';
import type { RedisTarget } from './target.ts';

/** Redis may refuse many connections at once. */
const rereadEveryMs = 500;

/** `read` throws where a password cannot be read, and says null where nothing names a Redis. */
export function createLogins(first: RedisTarget, read: () => RedisTarget | null): Logins {
  let current = first;
  let readAt = Number.NEGATIVE_INFINITY;
  return {
    get current() {
      return current;
    },
    reread() {
      if (performance.now() - readAt < rereadEveryMs) return;
      readAt = performance.now();
      try {
        current = read() ?? current;
      } catch {
        // A file that is being replaced: the next refusal reads it again.
      }
    },
  };
}
