/** Separate programs, which crash on any unhandled rejection, close their clients and consumers at any moment. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { startProducerRig } from './producerRig.ts';

const library = new URL('../../dist/index.js', import.meta.url).href;

const producer = `
import { createRotationClient } from ${JSON.stringify(library)};
const client = createRotationClient({ connection: process.argv[1] });
const handled = client.rotate('g1').catch(({ name, code }) => console.log(name, code));
// Handled only at the end.
const late = client.rotate('g1');
process.stdin.once('data', async () => {
  await client.close();
  await handled;
  await late.catch(({ name, code }) => console.log(name, code));
  process.stdin.destroy();
});
`;

const consumer = `
import { consumeLinks } from ${JSON.stringify(library)};
const consumer = consumeLinks({ connection: process.argv[1], handler: () => {}, onError: () => {} });
await consumer.ready();
console.log('ready');
process.stdin.once('data', async () => {
  await consumer.close();
  console.log('closed');
  process.stdin.destroy();
});
`;

function startProgram(program: string, url: string) {
  const child = spawn(process.execPath, ['--unhandled-rejections=strict', '--input-type=module', '-e', program, url], {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { child, output: () => output, ended };
}

it('close rejects pending calls, resolves, and leaves nothing that keeps the process alive', async () => {
  const { server, queue, register } = await startProducerRig({ groups: ['g1'] });
  await register();
  const { child, output, ended } = startProgram(producer, server.url);
  await until('both requests', async () => (await queue.getWaitingCount()) === 2);
  child.stdin.write('close\n');
  expect(await ended).toBe(0);
  expect(output()).toBe('RotationError closed\nRotationError closed\n');
});

it('close does the same while Redis is unreachable', async () => {
  const { server, queue, register } = await startProducerRig({ groups: ['g1'] });
  await register();
  const { child, output, ended } = startProgram(producer, server.url);
  await until('both requests', async () => (await queue.getWaitingCount()) === 2);
  await server.stop();
  child.stdin.write('close\n');
  expect(await ended).toBe(0);
  expect(output()).toBe('RotationError closed\nRotationError closed\n');
});

for (const [when, before] of [
  ['while Redis is unreachable', (server: { stop(): Promise<void> }) => server.stop()],
  ['while Redis is reachable', () => {}],
] as const) {
  it(`a closed consumer leaves nothing that keeps the process alive, ${when}`, async () => {
    const { server } = await startProducerRig({ groups: ['g1'] });
    const { child, output, ended } = startProgram(consumer, server.url);
    await until('it to be ready', () => output() === 'ready\n');
    await before(server);
    child.stdin.write('close\n');
    expect(await ended).toBe(0);
    expect(output()).toBe('ready\nclosed\n');
  });
}
