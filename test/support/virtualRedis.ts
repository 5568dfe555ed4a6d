/**
 * A Redis whose clients and scripts see a clock that the test moves: `TIME` is answered from a key. Everything else is
 * the real server and the real script. Keys expire by the server's own clock, which BullMQ's scripts use too; where the
 * clock stands still, scripts let them live longer, so that none is gone before its time.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { type RedisClient, runScript } from '../../src/redis/scripts.ts';

export interface VirtualRedis {
  readonly redis: RedisClient;
  /** In force for every command that is sent later: one connection keeps their order. */
  setTime(ms: number): void;
}

export interface ShiftedRedis {
  readonly redis: RedisClient;
  /** From then on the clock is that much ahead of the server's. */
  shift(ms: number): Promise<void>;
}

/** Its clock stands still between two moves. */
export function virtualRedis(real: Redis, clockKey: string): VirtualRedis {
  return {
    redis: withClock(
      real,
      `tonumber(realRedis.call('GET', '${clockKey}'))`,
      async () => Number(await real.get(clockKey)),
      1_000,
    ),
    setTime(ms) {
      void real.set(clockKey, ms);
    },
  };
}

/** Its clock advances between two moves. */
export function shiftedRedis(real: Redis, shiftKey: string): ShiftedRedis {
  const ms = `realTime[1] * 1000 + math.floor(realTime[2] / 1000) + tonumber(realRedis.call('GET', '${shiftKey}') or 0)`;
  return {
    redis: withClock(real, ms, async () => {
      const [seconds = 0, micros = 0] = (await real.time()).map(Number);
      return seconds * 1_000 + Math.floor(micros / 1_000) + Number((await real.get(shiftKey)) ?? 0);
    }),
    async shift(by) {
      await real.set(shiftKey, by);
    },
  };
}

/** `ms`: the time as a Lua expression. `longer`: by which the times are multiplied after which keys expire. */
function withClock(real: Redis, ms: string, time: () => Promise<number>, longer = 1): RedisClient {
  const shim = `
local realRedis = redis
local redis = setmetatable({ call = function(command, ...)
  local args = { ... }
  for i, arg in ipairs(args) do
    local isExpiry = command == 'PEXPIRE' and i == 2 or command == 'SET' and args[i - 1] == 'PX'
    if isExpiry then args[i] = string.format('%.0f', tonumber(arg) * ${longer}) end
  end
  if command ~= 'TIME' then return realRedis.call(command, unpack(args)) end
  local realTime = realRedis.call('TIME')
  local ms = ${ms}
  return { math.floor(ms / 1000), (ms % 1000) * 1000 }
end }, { __index = realRedis })
`;
  const handler: ProxyHandler<Redis> = {
    get(target, name) {
      if (name === 'evalsha') return () => Promise.reject(new Error('NOSCRIPT: scripts are sent with their clock'));
      if (name === 'eval') {
        return (text: string, count: number, ...rest: string[]) => {
          const lua = shim + text;
          const sha = createHash('sha1').update(lua).digest('hex');
          return runScript(target, { name: 'shimmed', lua, sha }, rest.slice(0, count), rest.slice(count));
        };
      }
      if (name === 'time') {
        return async () => {
          const now = await time();
          return [Math.floor(now / 1000), (now % 1000) * 1000];
        };
      }
      return Reflect.get(target, name, target);
    },
  };
  return new Proxy(real, handler);
}
