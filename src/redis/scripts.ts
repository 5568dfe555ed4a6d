/**
 * Runs the program's Lua scripts. Each lives in a `.lua` file beside the module that calls it and opens with a header
 * that names its KEYS, its ARGV and what it returns. What several need is in a file that they include: a line
 * `--- @include "../groups/updateFirst"` stands for `../groups/updateFirst.lua`.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Cluster, Redis } from 'ioredis';

export type RedisClient = Redis | Cluster;

export interface Script {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

/** `source`: the URL of the calling module, beside which `name.lua` is. The build puts the script's text in its place. */
export function loadScript(name: string, source: string): Script {
  const lua = source.startsWith('file:') ? readLua(new URL(`./${name}.lua`, source)) : source;
  return { name, lua, sha: createHash('sha1').update(lua).digest('hex') };
}

function readLua(file: URL): string {
  const lua = readFileSync(file, 'utf8');
  return lua.replace(/^--- @include "(.+)"$/gm, (_, path: string) => readLua(new URL(`${path}.lua`, file)));
}

/** Sends the script's digest, and its text only if the server does not know it: at first use, or after a restart. */
export async function runScript(
  redis: RedisClient,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(script.sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return await redis.eval(script.lua, keys.length, ...keys, ...args);
  }
}
