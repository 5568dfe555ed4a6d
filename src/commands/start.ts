/** `invite-rotator start`: runs the worker until a signal. */
import { ConfigError } from '../config/load.ts';
import { createConfigWatcher } from '../config/watch.ts';
import { createLog } from '../log.ts';
import { connectRedis, describeTarget, inspectRedis, openRedis } from '../redis/connection.ts';
import { startService } from '../worker/service.ts';
import { createTokens } from '../worker/tokens.ts';
import { CommandError, type CommonOptions, configFile, readConfig } from './context.ts';

export async function start(options: CommonOptions): Promise<number> {
  const config = await readConfig(options);
  const tokens = createTokens(process.env);
  const missing = tokens.load(config);
  if (missing.length > 0) throw new CommandError(2, missing.join('\n'));
  throw new ConfigError([]);
}
