/** The instances' tokens: read at the start, on every reload, and again after the API refused one. Memory only. */
import type { Config, InstanceConfig } from '../config/config.ts';
import { readSecret } from '../config/secrets.ts';
import { registerSecret } from '../log.ts';

export interface Tokens {
  /** Reads the tokens of all instances; returns what is wrong, one line each. Earlier values stay in force. */
  load(config: Config): string[];
  /** Throws for an instance whose token was never read. */
  of(instance: string): string;
  /** Reads one instance's token again; where that fails, the one in force is returned. */
  refresh(instance: InstanceConfig): string;
}

export function createTokens(env: NodeJS.ProcessEnv): Tokens {
  const tokens = new Map<string, string>();

  function read(instance: InstanceConfig): string | null {
    const result = readSecret(instance.token, env);
    if (!result.ok) return `instance ${instance.name}: ${result.message}`;
    registerSecret(result.secret);
    tokens.set(instance.name, result.secret);
    return null;
  }

  function of(instance: string): string {
    const token = tokens.get(instance);
    if (token === undefined) throw new Error(`instance ${instance} has no token`);
    return token;
  }

  return {
    load: (config) => config.instances.map(read).filter((problem) => problem !== null),
    of,
    refresh(instance) {
      read(instance);
      return of(instance.name);
    },
  };
}
