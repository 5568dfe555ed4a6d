/**
 * A strict stand-in for RyzeAPI: a real HTTP server that behaves as the real one is known to, refuses what the real one
 * refuses, and can inject every fault that the real one is known to show. Tests, demo and benchmarks use it.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ListForm } from './answer.ts';
import { createFaults, type Faults } from './faults.ts';
import { createHandler } from './handler.ts';
import { createLimiter, type LimiterOptions } from './limiter.ts';
import { createRequestLog, type LoggedRequest, type RequestLog } from './log.ts';
import { type Connection, createWorld, linkTo, makeCode, type StandInGroup } from './world.ts';

export interface StandInOptions {
  /** The port to listen on. 0, the default, picks a free one. */
  readonly port?: number;
  readonly tokens: readonly { readonly token: string; readonly instance?: string }[];
  readonly instances: readonly string[];
  /** `admins` and `members` are names of instances. A group without a code gets a random one. */
  readonly groups: readonly {
    readonly jid: string;
    /** Default: `A group`. */
    readonly name?: string;
    readonly code?: string;
    readonly admins?: readonly string[];
    readonly members?: readonly string[];
  }[];
  readonly limit?: Partial<LimiterOptions>;
  /** Whether a request counts towards the limit when it arrives or when it is answered. */
  readonly countAt?: 'arrival' | 'answer';
  readonly latency?: { readonly minMs: number; readonly maxMs: number };
  /** The field names in lists of groups. Default: the documented ones. */
  readonly listForm?: ListForm;
  readonly random?: () => number;
  /** Called for every request once it has ended. */
  readonly onRequest?: (request: LoggedRequest) => void;
}

export interface StandIn {
  readonly url: string;
  readonly log: RequestLog;
  readonly faults: Faults;
  /** The live link of the group. */
  linkOf(jid: string): string;
  codeOf(jid: string): string;
  isLive(code: string): boolean;
  group(jid: string): StandInGroup;
  addGroup(group: StandInOptions['groups'][number]): void;
  /** Resets the link as a person would in WhatsApp itself. Returns the new code. */
  resetByHand(jid: string): string;
  setConnection(instance: string, connection: Connection, status?: 400 | 503): void;
  setLimit(token: string, limit: number): void;
  replaceToken(old: string, next: string): void;
  /** Counts requests that another program makes with this token. */
  useToken(token: string, times: number): void;
  close(): Promise<void>;
}

export async function startStandIn(options: StandInOptions): Promise<StandIn> {
  const random = options.random ?? Math.random;
  const world = createWorld(random);
  const log = createRequestLog();
  const faults = createFaults();
  const limiter = createLimiter({ window: 'sliding', perMs: 60_000, limit: 100, ...options.limit });
  for (const token of options.tokens) world.tokens.set(token.token, token);
  for (const [i, name] of options.instances.entries()) {
    const numberJid = `55119999900${String(i).padStart(2, '0')}:7@s.whatsapp.net`;
    world.instances.set(name, { name, numberJid, connection: 'connected', disconnectedStatus: 503 });
  }

  function addGroup({
    jid,
    name = 'A group',
    code = makeCode(random),
    admins = options.instances,
    members = admins,
  }: StandInOptions['groups'][number]) {
    const history = [{ code, from: Date.now() }];
    const all = new Set([...members, ...admins]);
    world.groups.set(jid, { jid, name, code, members: all, admins: new Set(admins), link: 'shown', history });
  }
  for (const group of options.groups) addGroup(group);

  function group(jid: string): StandInGroup {
    const known = world.groups.get(jid);
    if (known === undefined) throw new Error(`the stand-in has no group ${jid}`);
    return known;
  }

  const timers = new Set<NodeJS.Timeout>();
  const handle = createHandler({
    world,
    log,
    faults,
    limiter,
    random,
    countAt: options.countAt ?? 'arrival',
    latency: options.latency ?? { minMs: 0, maxMs: 0 },
    listForm: options.listForm ?? 'documented',
    onRequest: options.onRequest ?? (() => {}),
    later(ms, run) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        run();
      }, ms);
      timers.add(timer);
    },
  });
  const server = createServer(handle);
  await listen(server, options.port ?? 0);

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    log,
    faults,
    linkOf: (jid) => linkTo(group(jid).code),
    codeOf: (jid) => group(jid).code,
    isLive: (code) => [...world.groups.values()].some((candidate) => candidate.code === code),
    group,
    addGroup,
    resetByHand: (jid) => world.reset(group(jid), Date.now()),
    setConnection(name, connection, status = 503) {
      const instance = world.instances.get(name);
      if (instance === undefined) throw new Error(`the stand-in has no instance ${name}`);
      instance.connection = connection;
      instance.disconnectedStatus = status;
    },
    setLimit: (token, limit) => limiter.setLimit(token, limit),
    replaceToken(old, next) {
      const known = world.tokens.get(old);
      world.tokens.delete(old);
      world.tokens.set(next, { ...known, token: next });
    },
    useToken(token, times) {
      for (let i = 0; i < times; i++) limiter.count(token, Date.now());
    },
    async close() {
      for (const timer of timers) clearTimeout(timer);
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}
