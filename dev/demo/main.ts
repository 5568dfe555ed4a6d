/**
 * The demo runs the whole program on real parts: a private Redis, the stand-in for RyzeAPI, the worker and a consumer in
 * separate processes, and a one-off from the command line. It runs until Ctrl-C, or for the time given with `--for`.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { Redis } from 'ioredis';
import { configuredRedis, redisUrlOf } from '../../src/commands/redisTarget.ts';
import { parseDuration } from '../../src/config/duration.ts';
import { parseConfig } from '../../src/config/load.ts';
import { socketAddress } from '../../src/config/redisUrl.ts';
import { type LinkEvent, linkEvent } from '../../src/contract/event.ts';
import { startEmbeddedRedis } from '../../src/localRedis/embedded.ts';
import { connectRedis } from '../../src/redis/connection.ts';
import { RedisStartError } from '../../src/redis/errors.ts';
import { type StandIn, startStandIn } from '../standin/standIn.ts';
import { runCli } from './child.ts';

type Colour = 'cyan' | 'green' | 'yellow' | 'magenta' | 'dim';

/** Prints one line: which part of the demo it comes from, and what happened. */
function print(who: string, colour: Colour, what: string): void {
  const seconds = (performance.now() / 1000).toFixed(1).padStart(5);
  const name = styleText(colour, who.padEnd(9), { stream: process.stdout });
  process.stdout.write(`${styleText('dim', seconds, { stream: process.stdout })}  ${name} ${what}\n`);
}

const tokens = { RYZE_TOKEN: 'demo-token-of-community-bot', RYZE_SUPPORT_TOKEN: 'demo-token-of-support-bot' };
/** The groups that config/demo.yaml names by a code or link, with that code. */
const namedByCode: Record<string, string> = {
  '120363406289005074@g.us': 'ABC123XYZabc123xyzABCD',
  '120363406289005075@g.us': 'COURSE2026courseCOURSE',
};
const jids = [
  '120363406289005073@g.us',
  ...Object.keys(namedByCode),
  '120363406289005076@g.us',
  '120363406289005077@g.us',
];
const oneOffAfterMs = 5_000;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { for: { type: 'string' } } });
  const forMs = values.for === undefined ? null : parseDuration(values.for);
  if (values.for !== undefined && forMs === null) {
    process.stderr.write(`--for: "${values.for}" is not a duration such as 30s or 5m\n`);
    return 2;
  }
  const stopped = stopAfter(forMs);
  const folder = mkdtempSync(join(tmpdir(), 'invite-rotator-demo-'));
  // A prefix of its own, because other programs may use the same Redis.
  const prefix = `demo-${randomUUID().slice(0, 8)}`;
  try {
    const redis = await openRedis(folder, prefix);
    const standIn = await startServer();
    try {
      return (await run(standIn, folder, redis.url, prefix, stopped)) ? 0 : 1;
    } finally {
      await standIn.close();
      await redis.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Opens the Redis that REDIS_URL names and removes the demo's keys at the end. Without REDIS_URL, starts a private one. */
async function openRedis(folder: string, prefix: string): Promise<{ url: string; close: () => Promise<void> }> {
  const { env } = process;
  const named = configuredRedis({ servers: null, prefix }, env);
  if (named === null) {
    const embedded = await startEmbeddedRedis({ dataDir: folder, env, say: (line) => print('demo', 'dim', line) });
    // The socket path may be relative, which a URL cannot express.
    return { url: socketAddress(resolve(embedded.path)), close: () => embedded.stop() };
  }
  const redis = await connectRedis(named);
  return {
    url: redisUrlOf(env)?.text ?? '',
    async close() {
      if (redis instanceof Redis) {
        for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 })) {
          if (keys.length > 0) await redis.unlink(keys);
        }
      }
      redis.disconnect();
    },
  };
}

/** Returns whether every link that the consumer holds at the end is live. */
async function run(
  standIn: StandIn,
  folder: string,
  redisUrl: string,
  prefix: string,
  stopped: Promise<void>,
): Promise<boolean> {
  const file = writeConfig(standIn, folder, prefix);
  // The stand-in is on this machine, never behind a proxy.
  const { REDIS_URL_FILE: _, ...inherited } = process.env;
  const env = { ...inherited, ...tokens, no_proxy: '*', REDIS_URL: redisUrl, LOG_LEVEL: 'info' };
  const newest = new Map<string, LinkEvent>();
  let events = 0;

  print(
    'demo',
    'dim',
    'Starting: a stand-in for RyzeAPI, the worker, a consumer of the queue invite-links. Ctrl-C ends it.',
  );
  print(
    'server',
    'yellow',
    `RyzeAPI stand-in at ${standIn.url}, ${jids.length} groups, 100 requests a minute per token`,
  );
  const consumer = runCli(['consume', '--config', file], env, (line, stream) => {
    if (stream === 'stderr') return print('consumer', 'green', line);
    const event = linkEvent.parse(JSON.parse(line));
    events += 1;
    newest.set(event.group, event);
    print('consumer', 'green', `${event.group.padEnd(14)} ${describe(event)}`);
  });
  const worker = runCli(['start', '--config', file], env, (line) => print('worker', 'cyan', messageOf(line)));
  const died = worker.ended.then((code) => print('worker', 'cyan', `ended with exit code ${code}`));

  await Promise.race([stopped, died, sleep(oneOffAfterMs)]);
  const oneOff = Promise.race([stopped, died, leak(file, env)]);
  await Promise.race([stopped, died]);
  await oneOff;

  print('demo', 'dim', 'Stopping: the worker finishes what is in flight, then the consumer.');
  await worker.stop();
  await untilQuiet(() => events);
  await consumer.stop();
  return summarise(standIn, newest, events);
}

/** Reports a leaked link: pushes a one-off on the command line, as a person would. */
async function leak(file: string, env: NodeJS.ProcessEnv): Promise<void> {
  print('you', 'magenta', '$ invite-rotator rotate vip --reason "link leaked" --wait');
  const args = ['rotate', 'vip', '--reason', 'link leaked', '--wait', '--config', file];
  await runCli(args, env, (line) => print('you', 'magenta', line)).ended;
}

async function startServer(): Promise<StandIn> {
  return await startStandIn({
    instances: ['community-bot', 'support-bot'],
    tokens: [
      { token: tokens.RYZE_TOKEN, instance: 'community-bot' },
      { token: tokens.RYZE_SUPPORT_TOKEN, instance: 'support-bot' },
    ],
    groups: jids.map((jid) => (namedByCode[jid] === undefined ? { jid } : { jid, code: namedByCode[jid] })),
    latency: { minMs: 80, maxMs: 400 },
    onRequest: ({ endpoint, instance, jid, status, effect }) => {
      const what = endpoint === 'reset' ? 'POST resetLink' : 'GET  info     ';
      const then = effect === null ? '' : ', the old link is dead';
      print('server', 'yellow', `${what} ${instance} ${jid ?? '?'} -> ${status}${then}`);
    },
  });
}

/** Writes a copy of config/demo.yaml with the address of this server and the prefix of this demo. */
function writeConfig(standIn: StandIn, folder: string, prefix: string): string {
  const source = fileURLToPath(new URL('../../../config/demo.yaml', import.meta.url));
  const own = readFileSync(source, 'utf8').replace(/baseUrl: \S+/, `baseUrl: ${standIn.url}`);
  const text = `${own}\nredis: { prefix: ${prefix} }\n`;
  const file = join(folder, 'demo.yaml');
  writeFileSync(file, text);
  const parsed = parseConfig(text, file);
  if (!parsed.ok) throw new Error(`config/demo.yaml is broken: ${JSON.stringify(parsed.problems)}`);
  return file;
}

function describe(event: LinkEvent): string {
  if (event.type === 'rotation.failed') return `failed: ${event.error.code}: ${event.error.message}`;
  return `${event.inviteLink}  (${event.reason}${event.request?.reason ? `: ${event.request.reason}` : ''})`;
}

function messageOf(line: string): string {
  try {
    const { level, msg } = JSON.parse(line) as { level: number; msg: string };
    return level >= 40 ? `! ${msg}` : msg;
  } catch {
    return line;
  }
}

/** Checks the central promise: the links that the consumer holds are the live ones. */
function summarise(standIn: StandIn, newest: ReadonlyMap<string, LinkEvent>, events: number): boolean {
  const held = [...newest.values()];
  const live = held.filter((event) => event.inviteCode !== null && standIn.isLive(event.inviteCode));
  const resets = standIn.log.all.filter(({ effect }) => effect !== null).length;
  print('demo', 'dim', `${resets} links replaced, ${events} events consumed.`);
  print('demo', 'dim', `The consumer holds ${held.length} links, ${live.length} of them live on the server.`);
  return live.length === held.length;
}

/** Resolves once the count has not changed for 400 ms. */
async function untilQuiet(count: () => number): Promise<void> {
  for (let before = -1; before !== count(); ) {
    before = count();
    await sleep(400);
  }
}

function stopAfter(forMs: number | null): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
    if (forMs !== null) setTimeout(resolve, forMs);
  });
}

try {
  process.exit(await main());
} catch (error) {
  const message =
    error instanceof RedisStartError ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
