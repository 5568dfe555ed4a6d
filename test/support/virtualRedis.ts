/**
 * A Redis whose clients and scripts see a clock that the test moves: `TIME` is answered from a key. Everything else is the real
 * server and the real script. Expiry of keys goes by the server's own clock.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { type RedisClient, runScript } from '../../src/redis/scripts.ts';

export interface VirtualRedis {
  readonly redis: RedisClient;
  /** In force for every command that is sent later: one connection keeps their order. */
  setTime(ms: number): void;
}

export function virtualRedis(real: Redis, clockKey: string): VirtualRedis {
  const shim = `
local realRedis = redis
local redis = setmetatable({ call = function(command, ...)
  if command ~= 'TIME' then return realRedis.call(command, ...) end
  local ms = tonumber(realRedis.call('GET', '${clockKey}'))
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
          const ms = Number(await target.get(clockKey));
          return [Math.floor(ms / 1000), (ms % 1000) * 1000];
        };
      }
      return Reflect.get(target, name, target);
    },
  };
  return {
    redis: new Proxy(real, handler),
    setTime(ms) {
      void real.set(clockKey, ms);
    },
  };
}
