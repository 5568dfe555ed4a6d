/**
 * A TCP proxy in front of Redis that knows the program's and BullMQ's scripts by name. It cuts the client off at a
 * chosen one, after the script took effect and before its reply is delivered.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
// @ts-expect-error: the configuration of the build has no types
import { readLua } from '../../rolldown.config.js';
import { loadScript } from '../../src/redis/scripts.ts';
import { listen, tie } from './sockets.ts';

export interface Moment {
  /** A script, or a command in lower case. */
  readonly command: string;
  /** Counted from the call of `cutAt` on, 1 being the first. */
  readonly nth: number;
}

export interface CommandProxy {
  readonly port: number;
  /** Resolves at that moment, when every existing connection has been cut off. New ones go through. */
  cutAt(moment: Moment): Promise<void>;
  close(): Promise<void>;
}

/** Between a client and the Redis that listens on a loopback port. */
export async function createCommandProxy(targetPort: number): Promise<CommandProxy> {
  const open = new Set<Socket>();
  let waiting: { readonly moment: Moment; left: number; readonly reached: () => void } | null = null;

  const cut = () => {
    for (const socket of open) socket.destroy();
    waiting?.reached();
    waiting = null;
  };
  /** Whether this piece is the expected one. */
  const isTheOne = (names: readonly string[]) => {
    if (waiting === null) return false;
    const { command } = waiting.moment;
    waiting.left -= names.filter((name) => name === command).length;
    return waiting.left <= 0;
  };

  const server = createServer((client) => {
    const target = connect({ port: targetPort, host: '127.0.0.1' });
    let cutAtReply = false;
    tie(client, target, open);
    client.on('data', (piece) => {
      cutAtReply ||= isTheOne(commandsIn(piece.toString('latin1')));
      target.write(piece);
    });
    target.on('data', (piece) => {
      if (cutAtReply) return cut();
      client.write(piece);
    });
  });
  const port = await listen(server);
  return {
    port,
    cutAt: (moment) =>
      new Promise((reached) => {
        waiting = { moment, left: moment.nth, reached };
      }),
    async close() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}

/** Clients write each command in one piece, several at once when they are busy: `*3\r\n$7\r\nevalsha\r\n$40\r\n...`. */
function commandsIn(piece: string): string[] {
  const commands = piece.matchAll(/\*\d+\r\n\$\d+\r\n([a-z]+)\r\n(?:\$(\d+)\r\n)?/gi);
  return [...commands].map(({ 0: text, 1: command = '', 2: length = '0', index }) => {
    const start = index + text.length;
    const first = piece.slice(start, start + Number(length));
    // Redis gets a script's text when it is used for the first time.
    if (command.toLowerCase() === 'eval') return nameOf('evalsha', sha1(Buffer.from(first, 'latin1')));
    return nameOf(command, first);
  });
}

/** A command's name in lower case; a script's own name, where its digest is known. */
export function nameOf(command: string, first: string): string {
  const name = command.toLowerCase();
  return name === 'evalsha' ? (scriptNames.get(first) ?? first) : name;
}

const scriptNames = new Map([...ownScripts(), ...scriptsOfBullmq()]);

/** As they are in `src`, and as they are in the build. */
function* ownScripts(): Iterable<[string, string]> {
  const source = fileURLToPath(new URL('../../src/', import.meta.url));
  for (const path of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('.lua')) continue;
    const [file, name] = [join(source, path), basename(path, '.lua')];
    for (const text of [loadScript(name, pathToFileURL(file).href).lua, readLua(file)]) yield [sha1(text), name];
  }
}

function* scriptsOfBullmq(): Iterable<[string, string]> {
  const require = createRequire(import.meta.url);
  const folder = join(dirname(require.resolve('bullmq')), 'scripts');
  for (const file of readdirSync(folder)) {
    if (!/-\d+\.js$/.test(file)) continue;
    for (const script of Object.values(
      require(join(folder, file)) as Record<string, { name?: string; content?: string }>,
    )) {
      if (script.name !== undefined && script.content !== undefined) yield [sha1(script.content), script.name];
    }
  }
}

function sha1(text: string | Buffer): string {
  return createHash('sha1').update(text).digest('hex');
}
