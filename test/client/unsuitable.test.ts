/** An unsuitable `connection` is rejected immediately. */
import { Cluster, Redis } from 'ioredis';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { type Connection, consumeLinks, createRotationClient } from '../../src/index.ts';

const openers = {
  createRotationClient: (connection: Connection) => createRotationClient({ connection }),
  consumeLinks: (connection: Connection) => consumeLinks({ connection, handler: () => {} }),
};

function lazy(options: object) {
  const client = new Redis({ port: 1, lazyConnect: true, retryStrategy: null, ...options });
  client.on('error', () => {});
  onTestFinished(() => client.disconnect());
  return client;
}

for (const [name, open] of Object.entries(openers)) {
  describe(name, () => {
    it('rejects clients, naming the wrong option and the remedy', () => {
      expect(() => open(lazy({}))).toThrow(
        'connection: this client has maxRetriesPerRequest 20; set it to null, so that its commands wait while Redis is unreachable',
      );
      const right = { maxRetriesPerRequest: null };
      expect(() => open(lazy({ maxRetriesPerRequest: 0 }))).toThrow('has maxRetriesPerRequest 0; set it to null');
      expect(() => open(lazy({ ...right, enableOfflineQueue: false }))).toThrow(
        'has enableOfflineQueue false; leave it',
      );
      expect(() => open(lazy({ ...right, commandTimeout: 500 }))).toThrow('has commandTimeout 500; leave it out');
      expect(() => open(lazy({ ...right, keyPrefix: 'app:' }))).toThrow('has keyPrefix app:; leave it out');
    });
    it('refuses a client that was closed, and one of another package', () => {
      const closed = lazy({ maxRetriesPerRequest: null });
      closed.disconnect();
      expect(() => open(closed)).toThrow('this client has been closed');
      const other = { duplicate: () => other, sendCommand: () => {} } as unknown as Redis;
      expect(() => open(other)).toThrow('expected a URL, options of ioredis, or a client of ioredis');
    });
    it('refuses an address that the worker would refuse, without any part of its password', () => {
      for (const [text, why] of [
        ['redis://:hunter2%@h', 'connection: the address needs its user and password percent-encoded'],
        ['redis://h?tsl=true', 'connection: the address has an unknown parameter "tsl"'],
        ['localhost:6379', 'it has no scheme; write redis://localhost:6379'],
        ['', 'connection: the address is empty'],
      ] as const) {
        expect(() => open(text)).toThrow(TypeError);
        expect(() => open(text)).toThrow(why);
        expect(() => open(text)).not.toThrow('hunter2');
        expect(() => open({ url: text })).toThrow(why);
      }
    });
    it('refuses a variable that is not set', () => {
      for (const unset of [undefined, null]) {
        expect(() => open(unset as unknown as Connection)).toThrow('expected a URL, options of ioredis, or a client');
      }
    });
    it('refuses a cluster whose keys have a prefix', () => {
      const cluster = new Cluster([{ port: 1 }], { lazyConnect: true, keyPrefix: 'app:' });
      cluster.on('error', () => {});
      onTestFinished(() => cluster.disconnect());
      expect(() => open(cluster)).toThrow('has keyPrefix app:');
    });
    it('accepts lazy clients, and options with any retry setting', async () => {
      const accepted = [
        open(lazy({ maxRetriesPerRequest: null })),
        open({ port: 1, maxRetriesPerRequest: 3, commandTimeout: 10, enableOfflineQueue: false, lazyConnect: true }),
      ];
      for (const one of accepted) await one.close();
      expect(() => open({ keyPrefix: 'app:' })).toThrow('leave keyPrefix out');
    });
  });
}

it('uses the database that the address names, and no other if there is none of that number', async () => {
  const { port } = new URL(inject('redisUrl'));
  const open = (connection: Connection) => {
    const client = createRotationClient({ connection, prefix: 'test-nobody' });
    onTestFinished(() => client.close());
    return client.current('vip');
  };
  const at = (rest: string) => open(`redis://127.0.0.1:${port}${rest}`);
  await expect(open({ url: `redis://127.0.0.1:${port}/1` })).rejects.toMatchObject({ code: 'invalid_request' });
  const other = { url: `redis://127.0.0.1:${port}`, db: 99 };
  await expect(open(other)).rejects.toMatchObject({ message: 'it has no database of that number' });
  await expect(at('/1')).rejects.toMatchObject({ code: 'invalid_request' });
  await expect(at('?db=1')).rejects.toMatchObject({ code: 'invalid_request' });
  for (const rest of ['/99', '?db=99']) {
    await expect(at(rest)).rejects.toMatchObject({ code: 'redis_error', message: 'it has no database of that number' });
  }
});
