/**
 * A TCP proxy before Redis that makes Redis refuse commands, starting with a chosen one. Redis runs a script in place
 * of each command, which answers with the error wanted. So answers keep their order, and the command has no effect.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type Moment, nameOf } from './commandProxy.ts';
import { listen, tie } from './sockets.ts';

export interface RefusingProxy {
  readonly port: number;
  /** From that moment on every command is refused with this error. Resolves when the first one is. */
  refuseFrom(moment: Moment, error: string): Promise<void>;
  /** From now on. */
  refuse(error: string): void;
  heal(): void;
  close(): Promise<void>;
}

/** Without them, no connection can be set up. */
const handshake = new Set(['info', 'client', 'select', 'auth', 'hello', 'readonly']);

/** Between a client and the Redis that listens on a loopback port. */
export async function createRefusingProxy(targetPort: number): Promise<RefusingProxy> {
  const open = new Set<Socket>();
  let error: string | null = null;
  let waiting: { readonly moment: Moment; readonly error: string; left: number; readonly reached: () => void } | null =
    null;

  const refusalOf = (command: readonly Buffer[]): string | null => {
    const name = nameOf(String(command[0]), String(command[1] ?? ''));
    if (handshake.has(name)) return null;
    if (waiting !== null && waiting.moment.command === name && --waiting.left === 0) {
      error = waiting.error;
      waiting.reached();
      waiting = null;
    }
    return error;
  };

  const server = createServer((client) => {
    const target = connect({ port: targetPort, host: '127.0.0.1' });
    let rest: Buffer = Buffer.alloc(0);
    tie(client, target, open);
    client.on('data', (piece) => {
      const { commands, left } = parse(Buffer.concat([rest, piece]));
      rest = left;
      for (const { command, bytes } of commands) {
        const refusal = refusalOf(command);
        target.write(refusal === null ? bytes : erring(refusal));
      }
    });
    target.on('data', (piece) => client.write(piece));
  });
  const port = await listen(server);
  return {
    port,
    refuseFrom: (moment, text) =>
      new Promise((reached) => {
        waiting = { moment, error: text, left: moment.nth, reached };
      }),
    refuse(text) {
      error = text;
    },
    heal() {
      error = null;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function erring(error: string): string {
  const script = `return redis.error_reply(${JSON.stringify(error)})`;
  return ['*3', '$4', 'EVAL', `$${Buffer.byteLength(script)}`, script, '$1', '0', ''].join('\r\n');
}

/** Whole commands, parsed and as received, and the rest of a piece. */
function parse(data: Buffer) {
  const commands: { readonly command: readonly Buffer[]; readonly bytes: Buffer }[] = [];
  let from = 0;
  for (;;) {
    const found = parseOne(data, from);
    if (found === null) return { commands, left: data.subarray(from) };
    commands.push({ command: found.command, bytes: data.subarray(from, found.end) });
    from = found.end;
  }
}

function parseOne(data: Buffer, from: number): { readonly command: Buffer[]; readonly end: number } | null {
  let at = from;
  /** The number behind a `*` or a `$`; null: its line is not whole yet. */
  const number = (): number | null => {
    const end = data.indexOf('\r\n', at);
    if (end < 0) return null;
    const value = Number(data.toString('latin1', at + 1, end));
    at = end + 2;
    return value;
  };
  const count = number();
  if (count === null) return null;
  const command: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const length = number();
    if (length === null || data.length < at + length + 2) return null;
    command.push(data.subarray(at, at + length));
    at += length + 2;
  }
  return { command, end: at };
}
