/**
 * `invite-rotator health`: whether the worker on this machine is alive, for health checks. It asks /healthz, which does not
 * depend on Redis or RyzeAPI. A worker without pages cannot be asked, so it counts as alive.
 */
import { request } from 'node:http';
import { formatPlace } from '../address.ts';
import { notedPages } from '../ops/pagesNote.ts';
import { CommandError, type CommonOptions, configFile, readConfig } from './context.ts';
import { print } from './output.ts';

const timeoutMs = 4_000;

export async function health(options: CommonOptions): Promise<number> {
  const url = await pagesUrl(options);
  if (url === null) {
    await print('no pages are served, so there is nothing to ask\n');
    return 0;
  }
  const problem = await ask(`${url}/healthz`);
  if (problem !== null) throw new CommandError(1, `${url}/healthz: ${problem}`);
  await print(`${url}/healthz: alive\n`);
  return 0;
}

/** In force if a worker has left a note, else as the file says. Null: nowhere. */
async function pagesUrl(options: CommonOptions): Promise<string | null> {
  const noted = notedPages(configFile(options));
  if (noted !== undefined) return noted.url;
  const { ops } = await readConfig(options);
  if (ops === null) return null;
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[ops.host] ?? ops.host;
  return `http://${formatPlace(host, ops.port)}`;
}

/** Why it does not answer as it should, or null. */
function ask(url: string): Promise<string | null> {
  return new Promise((resolve) => {
    const asked = request(url, { timeout: timeoutMs }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200 ? null : `HTTP ${answer.statusCode}`);
    });
    asked.on('timeout', () => {
      resolve(`no answer within ${timeoutMs / 1000} s`);
      asked.destroy();
    });
    asked.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED' ? 'nothing listens there' : (error.code ?? 'no answer'));
    });
    asked.end();
  });
}
