/** The addresses and logins of a Redis: one server, Sentinels, or a cluster. */

export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

export interface Login {
  readonly username?: string;
  readonly password?: string;
  readonly tls: boolean;
}

/** Contains passwords: show it only through `describeTarget`. */
export type RedisTarget =
  | { readonly url: string; readonly password?: string }
  | { readonly path: string; readonly password?: string }
  | {
      readonly sentinels: readonly NodeAddress[];
      readonly name: string;
      readonly sentinelPassword?: string;
      readonly login: Login;
    }
  | { readonly cluster: readonly NodeAddress[]; readonly login: Login };

/** As text, without a password. */
export function describeTarget(target: RedisTarget): string {
  const list = (nodes: readonly NodeAddress[]) => nodes.map(({ host, port }) => `${host}:${port}`).join(', ');
  if ('path' in target) return target.path;
  if ('sentinels' in target) return `${target.name} of the Sentinels ${list(target.sentinels)}`;
  if ('cluster' in target) return `the cluster of ${list(target.cluster)}`;
  const { protocol, host, pathname } = new URL(target.url);
  return `${protocol}//${host}${pathname}`;
}
