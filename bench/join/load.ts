/**
 * A load generator: keep-alive connections with one request each at a time. Prints its result as a line of JSON.
 *
 *   URL, GROUPS  what to ask for, and how many groups there are: g0, g1, ...
 *   RATE         requests a second; 0: as fast as answers come
 *   SECONDS      for how long
 */
import { connect, type Socket } from 'node:net';

export interface LoadResult {
  readonly perSecond: number;
  /** From the time at which a request was due, also if it had to wait for a connection. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Answers that are not a redirect. */
  readonly wrong: number;
}

const { URL: address = '', GROUPS = '1', RATE = '0', SECONDS = '1' } = process.env;
const { hostname, port } = new URL(address);
const [groups, rate, seconds] = [Number(GROUPS), Number(RATE), Number(SECONDS)];
const connections = 64;
/** A lost answer must not keep the benchmark. */
const graceSeconds = 20;

interface Connection {
  readonly socket: Socket;
  dueAt: number;
  received: string;
}

const idle: Connection[] = [];
const latencies: number[] = [];
let wrong = 0;
let sent = 0;

function ask(connection: Connection, dueAt: number): void {
  connection.dueAt = dueAt;
  connection.received = '';
  // Consecutive requests are for different groups.
  const group = `g${(sent++ * 7919) % groups}`;
  connection.socket.write(`GET /join/${group} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
}

function onData(connection: Connection, chunk: string): void {
  connection.received += chunk;
  const end = connection.received.indexOf('\r\n\r\n');
  const length = Number(/^content-length: (\d+)/im.exec(connection.received)?.[1] ?? 0);
  if (end === -1 || connection.received.length < end + 4 + length) return;
  latencies.push(performance.now() - connection.dueAt);
  if (!connection.received.startsWith('HTTP/1.1 302 ')) wrong += 1;
  if (rate === 0 && performance.now() < endsAt) ask(connection, performance.now());
  else idle.push(connection);
}

async function open(): Promise<void> {
  const socket = connect(Number(port), hostname).setNoDelay().setEncoding('latin1');
  await new Promise((resolve) => socket.once('connect', resolve));
  const connection: Connection = { socket, dueAt: 0, received: '' };
  socket.on('close', () => fail('the server has closed a connection'));
  socket.on('data', (chunk) => onData(connection, String(chunk)));
  idle.push(connection);
}

function fail(why: string): never {
  console.error(why);
  process.exit(1);
}

/** Sends what is due and can be sent, until the end. */
async function pace(): Promise<void> {
  for (;;) {
    const nowMs = performance.now();
    if (nowMs >= endsAt) return;
    const due = Math.floor(((nowMs - startedAt) * rate) / 1_000);
    // In turn: a server closes a connection that nobody uses.
    while (sent < due && idle.length > 0) ask(idle.shift() as Connection, startedAt + ((sent + 1) * 1_000) / rate);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

setTimeout(() => fail('an answer is missing'), (seconds + graceSeconds) * 1_000);
await Promise.all(Array.from({ length: connections }, open));
const startedAt = performance.now();
const endsAt = startedAt + seconds * 1_000;
if (rate > 0) await pace();
else for (const connection of idle.splice(0)) ask(connection, startedAt);
while (idle.length < connections) await new Promise((resolve) => setTimeout(resolve, 5));

const elapsedMs = performance.now() - startedAt;
latencies.sort((a, b) => a - b);
const at = (share: number) => latencies[Math.min(Math.floor(latencies.length * share), latencies.length - 1)] ?? 0;
const result: LoadResult = {
  perSecond: (latencies.length / elapsedMs) * 1_000,
  p50Ms: at(0.5),
  p99Ms: at(0.99),
  maxMs: at(1),
  wrong,
};
console.log(JSON.stringify(result));
process.exit(0);
