/** A program of its own, which ends on any rejection that nobody handles, closes the client while it waits for a link. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { startProducerRig } from './producerRig.ts';

const library = new URL('../../dist/index.js', import.meta.url).href;

const program = `
import { createRotationClient } from ${JSON.stringify(library)};
const client = createRotationClient({ connection: process.argv[1] });
const handled = client.rotate('g1').catch(({ name, code }) => console.log(name, code));
// Handled only when all is over.
const late = client.rotate('g1');
process.stdin.once('data', async () => {
  await client.close();
  await handled;
  await late.catch(({ name, code }) => console.log(name, code));
  process.stdin.destroy();
});
`;

function startProgram(url: string) {
  const child = spawn(process.execPath, ['--unhandled-rejections=strict', '--input-type=module', '-e', program, url], {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { child, output: () => output, ended };
}

it('rejects what is pending, resolves, and leaves nothing that keeps the process', async () => {
  const { server, queue, register } = await startProducerRig({ groups: ['g1'] });
  await register();
  const { child, output, ended } = startProgram(server.url);
  await until('both requests', async () => (await queue.getWaitingCount()) === 2);
  child.stdin.write('close\n');
  expect(await ended).toBe(0);
  expect(output()).toBe('RotationError closed\nRotationError closed\n');
});

it('does so while Redis is away', async () => {
  const { server, queue, register } = await startProducerRig({ groups: ['g1'] });
  await register();
  const { child, output, ended } = startProgram(server.url);
  await until('both requests', async () => (await queue.getWaitingCount()) === 2);
  await server.stop();
  child.stdin.write('close\n');
  expect(await ended).toBe(0);
  expect(output()).toBe('RotationError closed\nRotationError closed\n');
});
