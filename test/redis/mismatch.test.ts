/** A server that is not the Redis that the address describes is named in one line, for the worker and for commands. */
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { expect, inject, it, onTestFinished } from 'vitest';
import { connectRedis } from '../../src/redis/connection.ts';
import { ownCertificate } from '../support/tlsFront.ts';

async function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Why the connection fails; each target has a password that no message may contain. */
async function failure(scheme: string, port: number): Promise<string> {
  const url = `${scheme}://me:hunter2@127.0.0.1:${port}`;
  const error = await connectRedis({ url }).catch((caught: Error) => caught);
  if (!(error instanceof Error)) throw new Error('it connected');
  expect(error.name).toBe('RedisStartError');
  expect(error.message).not.toMatch(/hunter2|\n|report/);
  return error.message.replace(`cannot reach Redis at ${scheme}://127.0.0.1:${port}: `, '');
}

const redisPort = () => Number(new URL(inject('redisUrl')).port);

it('names what is there instead', async () => {
  const { private: key, cert } = await ownCertificate();
  const http = await listening(createHttp((_request, response) => response.end()));
  const https = await listening(createHttps({ key, cert }, (_request, response) => response.end()));
  // As Redis itself does, it waits for a client that speaks TLS, and says nothing to any other.
  const tls = await listening(createTls({ key, cert }, (socket) => socket.on('error', () => {})));
  const ssh = await listening(
    createServer((socket) => void socket.on('error', () => {}).write('SSH-2.0-OpenSSH_9\r\n')),
  );
  const found = await Promise.all([
    failure('redis', http),
    failure('redis', https),
    failure('redis', tls),
    failure('redis', ssh),
    failure('rediss', redisPort()),
    failure('rediss', http),
    failure('rediss', ssh),
  ]);
  expect(found).toEqual([
    'the server there answers in HTTP, so it is not Redis',
    'the server there answers in HTTP over TLS, so it is not Redis',
    'it expects TLS: use rediss://, or "tls: true" in the file',
    'the server there does not answer as Redis does',
    'it answers without TLS: use redis://, or "tls: false" in the file',
    'the server there answers in HTTP, so it is not Redis',
    'the server there does not answer as Redis does',
  ]);
});
