#!/usr/bin/env node
/** The command line: names, options and help. What a command does is in `commands/`; only the one that runs is loaded. */
import { Command, CommanderError } from 'commander';
import { CommandError, defaultConfigFile } from './commands/context.ts';
import { ConfigError } from './config/problems.ts';
import { redactSecrets } from './log.ts';
import { RedisStartError, refusalOf, refusalReasons } from './redis/errors.ts';
import { version } from './version.ts';

/** Set by the command that ran. */
let exitCode = 0;

function command(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option('-c, --config <path>', `configuration file (default: $ROTATOR_CONFIG or ${defaultConfigFile})`)
    .configureHelp({ sortOptions: true })
    .exitOverride();
}

const program = new Command('invite-rotator')
  .description('Rotates WhatsApp group invite links through RyzeAPI and publishes every new one to a BullMQ queue.')
  .version(version)
  .exitOverride()
  .showHelpAfterError('(--help tells more)');

program.addCommand(
  command('start', 'run the worker; starts an embedded Redis where none is named').action(async (options) => {
    const { start } = await import('./commands/start.ts');
    exitCode = await start(options);
  }),
);
program.addCommand(
  command('check', 'validate the configuration file and print the plan')
    .option('--preview <duration>', 'print the rotations to come in that time instead')
    .option('--json', 'as JSON')
    .action(async (options) => {
      const { check } = await import('./commands/check.ts');
      exitCode = await check(options);
    }),
);
program.addCommand(
  command('rotate', 'push one-off rotations: every group named gets a new link now')
    .argument('[group...]', 'ids or JIDs')
    .option('--all', 'every group of the file; asks first on a terminal')
    .option('--reason <text>', 'goes into the event')
    .option('--wait', 'wait for the new links and print them; exit 1 if any failed')
    .option('--timeout <duration>', 'with --wait: how long', '60s')
    .option('--yes', 'with --all: do not ask')
    .option('--json', 'one JSON object a line')
    .action(async (groups, options) => {
      const { rotate } = await import('./commands/rotate.ts');
      exitCode = await rotate(groups, options);
    }),
);
program.addCommand(
  command('status', 'show every group and instance')
    .option('--watch', 'again and again, until Ctrl-C')
    .option('--json', 'as JSON')
    .action(async (options) => {
      const { status } = await import('./commands/status.ts');
      exitCode = await status(options);
    }),
);
program.addCommand(
  command('consume', 'take events off a results queue: one JSON object a line')
    .option('--queue <name>', 'which; default: the first of results.queues')
    .action(async (options) => {
      const { consume } = await import('./commands/consume.ts');
      exitCode = await consume(options);
    }),
);

// Nobody reads what is written there: no reason to end.
process.stderr.on('error', () => {});
// In our own words too: Node.js would print all that the error carries, such as a Redis command with links in it.
process.on('uncaughtException', (error: NodeJS.ErrnoException) => {
  // Whoever read our output has what they wanted, such as `head`.
  process.exit(error.code === 'EPIPE' && error.syscall === 'write' ? exitCode : explain(error));
});
try {
  await program.parseAsync();
  process.exit(exitCode);
} catch (error) {
  process.exit(explain(error));
}

/** One clear line for what a user can put right; a stack trace only for what is our own fault. */
function explain(error: unknown): number {
  // Commander has said it already; it counts help as an error of its own.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof ConfigError) return fail(error.message, 2);
  if (error instanceof CommandError) return fail(error.message, error.exitCode);
  if (error instanceof RedisStartError) return fail(error.message, 1);
  if (error instanceof Error && error.name === 'ReplyError') return fail(replyText(error), 1);
  return fail(error instanceof Error ? (error.stack ?? error.message) : String(error), 1);
}

/** A user who lacks a right needs to know for what. */
function replyText(error: Error & { command?: { name?: string; args?: unknown[] } }): string {
  const reason = refusalOf(error);
  const { name = '', args = [] } = error.command ?? {};
  // A script's own arguments may be links; its first key is none.
  const key = /^eval/.test(name) ? args[2] : args[0];
  const about = /one of the keys/.test(error.message) ? `${name} ${String(key)}` : name;
  return `Redis refuses ${about}: ${reason === null ? error.message : refusalReasons[reason]}`;
}

function fail(message: string, code: number): number {
  process.stderr.write(`${redactSecrets(message)}\n`);
  return code;
}
