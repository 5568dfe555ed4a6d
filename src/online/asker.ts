/** Questions to RyzeAPI before or beside a worker. They change nothing, and leave the worker its share of the limit. */
import type { Config, InstanceConfig } from '../config/config.ts';
import { readSecret } from '../config/secrets.ts';
import { registerSecret } from '../log.ts';
import { createRyzeClient } from '../ryze/client.ts';
import type { GroupList, ListedInstance, ListOutcome } from '../ryze/lists.ts';
import type { CallOutcome } from '../ryze/outcome.ts';
import { createPacer, type Pacer } from '../ryze/pacer.ts';

/** Asks for one instance. */
export interface Asker {
  /** The instances of this name that the token may see: one, or none. */
  instances(): Promise<ListOutcome<ListedInstance[]>>;
  groups(): Promise<ListOutcome<GroupList>>;
  /** `identifier`: a JID or an invite code. */
  info(identifier: string): Promise<CallOutcome>;
  /** Calls in each `rateLimit.per` that all questions with this token may make together. */
  perWindow(): number;
}

export interface Asked {
  readonly instance: InstanceConfig;
  /** Or why the token cannot be read. */
  readonly asker: Asker | { readonly problem: string };
}

export interface Askers {
  readonly all: readonly Asked[];
  close(): Promise<void>;
}

/** Instances with the same token share one pace: that of the smallest limit. */
export function openAskers({ api, instances }: Pick<Config, 'api' | 'instances'>, env: NodeJS.ProcessEnv): Askers {
  const client = createRyzeClient(api);
  const pacers = new Map<string, Pacer>();
  const open = (instance: InstanceConfig): Asked => {
    const read = readSecret(instance.token, env);
    if (!read.ok) return { instance, asker: { problem: read.message } };
    const { name, rateLimit } = instance;
    const token = read.secret;
    registerSecret(token);
    const pacer = pacers.get(token) ?? createPacer(rateLimit);
    pacers.set(token, pacer);
    return {
      instance,
      asker: {
        instances: () => pacer.run(() => client.listInstances({ token, name })),
        groups: () => pacer.run(() => client.listGroups({ instance: name, token })),
        info: (identifier) => pacer.run(() => client.groupInfo({ instance: name, token, identifier })),
        perWindow: pacer.perWindow,
      },
    };
  };
  const slowestFirst = [...instances].sort((a, b) => rateOf(a) - rateOf(b)).map(open);
  const place = (asked: Asked) => instances.indexOf(asked.instance);
  return { all: slowestFirst.sort((a, b) => place(a) - place(b)), close: () => client.close() };
}

function rateOf({ rateLimit }: InstanceConfig): number {
  return rateLimit.max / rateLimit.perMs;
}
