/** Finds out what listens where a Redis was expected: a wrong port, or the wrong choice of TLS, is named for the user. */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { RedisOptions } from 'ioredis';

/** `closed`: it ended the connection without a word. `silent`: it did not answer in time. */
type Answer = 'redis' | 'http' | 'tls' | 'other' | 'closed' | 'silent' | 'unreachable';

/** Of an alert and of a handshake; the version, 3, follows. */
const tlsTypes = [0x15, 0x16];
/** For one connection and its answer. */
const probeMs = 1_500;

/** What the user should change, or null if the server answers as Redis does, or not at all. */
export async function explainServer(server: RedisOptions): Promise<string | null> {
  const isTls = server.tls !== undefined;
  const plain = await ask(server, false);
  if (plain === 'unreachable') return null;
  if (plain === 'http') return 'the server there answers in HTTP, so it is not Redis';
  if (plain === 'redis') return isTls ? 'it answers without TLS: use redis://, or "tls: false" in the file' : null;
  if (plain === 'other') return 'the server there does not answer as Redis does';
  const secured = await ask(server, true);
  if (secured === 'http') return 'the server there answers in HTTP over TLS, so it is not Redis';
  if (isTls || secured === 'unreachable') return null;
  return 'it expects TLS: use rediss://, or "tls: true" in the file';
}

/** The first bytes of the answer to a command that every Redis answers, whatever the user may do. */
function ask(server: RedisOptions, secured: boolean): Promise<Answer> {
  return new Promise((resolve) => {
    let isConnected = false;
    const end = (answer: Answer) => {
      socket.destroy();
      resolve(answer);
    };
    const socket = open(server, secured);
    socket.setTimeout(probeMs, () => end(isConnected ? 'silent' : 'unreachable'));
    socket.on(secured ? 'secureConnect' : 'connect', () => {
      isConnected = true;
      socket.write('PING\r\n\r\n');
    });
    socket.on('data', (bytes: Buffer) => end(classify(bytes)));
    socket.on('error', () => end(isConnected ? 'closed' : 'unreachable'));
    socket.on('close', () => end(isConnected ? 'closed' : 'unreachable'));
  });
}

function open({ host = 'localhost', port = 6_379, path }: RedisOptions, secured: boolean): Socket {
  if (path) return connect({ path });
  // Nothing secret is sent, so the certificate does not matter.
  return secured ? connectTls({ host, port, rejectUnauthorized: false }) : connect({ host, port });
}

function classify(bytes: Buffer): Answer {
  const text = bytes.toString('latin1');
  if (/^(\+PONG|-(NOAUTH|ERR|DENIED|LOADING|MASTERDOWN|NOPERM|BUSY|WRONGPASS) )/.test(text)) return 'redis';
  if (text.startsWith('HTTP/')) return 'http';
  return tlsTypes.includes(bytes[0] ?? 0) && bytes[1] === 3 ? 'tls' : 'other';
}
