#!/usr/bin/env node
/** The command line: names, options, help and exit codes. Loads only the command that runs, from `commands/`. */
import { Command, CommanderError } from 'commander';
import { end, endAtSignals, endSoon, Interrupted, OutputError, signalCodes } from './commands/output.ts';
import { CommandError, defaultConfigFile } from './commands/usage.ts';
import { didYouMean } from './config/nearMiss.ts';
import { ConfigError } from './config/problems.ts';
import { redactSecrets } from './log.ts';
import { interpretSchemas, keepCompiledCode, skipUnusedPartsOfZod } from './packages.ts';
import { RedisSettingsError, RedisStartError, refusalOf, refusalReasons } from './redis/errors.ts';
import { ProxySettingsError } from './ryze/proxies.ts';
import { withSourceLines } from './sourceLines.ts';
import { version } from './version.ts';

keepCompiledCode();

/** Set by the command that ran. */
let exitCode = 0;
/** Changed by a command whose standard output is a log: nobody may be reading it, which must not keep the process. */
let finish: (code: number) => Promise<never> = end;

function command(name: string, description: string): Command {
  const made: Command = new Command(name)
    .description(description)
    .option('-c, --config <path>', `configuration file (default: $ROTATOR_CONFIG or ${defaultConfigFile})`)
    .configureHelp({ sortOptions: true })
    .configureOutput({ outputError: silent })
    .showSuggestionAfterError(false)
    .exitOverride((error) => {
      asked = made;
      throw error;
    });
  return made;
}

/** Errors are printed by `explain`. */
function silent(): void {}

const services = new Set<Command>();

/** A command whose process stays. */
function service(name: string, description: string): Command {
  const made = command(name, description);
  services.add(made);
  return made;
}

const program = new Command('invite-rotator')
  .description('Rotates WhatsApp group invite links through RyzeAPI and publishes every new one to a BullMQ queue.')
  .version(version)
  .configureOutput({ outputError: silent })
  .showSuggestionAfterError(false)
  .exitOverride()
  .hook('preAction', (_program, chosen) => {
    skipUnusedPartsOfZod();
    if (!services.has(chosen)) interpretSchemas();
  });

/** The command whose usage is wrong. */
let asked = program;

program.addCommand(
  service('start', 'run the worker; start an embedded Redis if none is configured').action(async (options) => {
    finish = endSoon;
    const { start } = await import('./commands/start.ts');
    exitCode = await start(options);
  }),
);
program.addCommand(
  command('init', 'write a small configuration file, with the groups of the instance if its token is set')
    .option('--instance <name>', 'the RyzeAPI instance (default: the only one of the token)')
    .option('--base-url <url>', 'address of RyzeAPI (default: https://ryzeapi.cloud)')
    .action(async (options) => {
      const { init } = await import('./commands/init.ts');
      exitCode = await init(options);
    }),
);
program.addCommand(
  command('check', 'validate the configuration file and print the plan')
    .option('--preview <duration>', 'print the rotations due within this time instead, such as 24h')
    .option('--online', 'ask RyzeAPI: token, connection, membership, visible links; exit 1 if a group would fail')
    .option('--json', 'print JSON')
    .action(async (options) => {
      const { check } = await import('./commands/check.ts');
      exitCode = await check(options);
    }),
);
program.addCommand(
  command('groups', 'list the groups that each instance is a member of, with JIDs and ids')
    .option('--instance <name>', 'only this instance')
    .option('--yaml', 'print entries for the groups that the file lacks, ready to append')
    .option('--json', 'print JSON')
    .action(async (options) => {
      const { groups } = await import('./commands/groups.ts');
      exitCode = await groups(options);
    }),
);
program.addCommand(
  command('rotate', 'push one-off rotations: each named group gets a new link now')
    .argument('[group...]', 'ids, JIDs, invite codes or links')
    .option('--all', 'rotate every group of the file')
    .option('--reason <text>', 'the reason, which appears in the event')
    .option('--wait', 'wait for the new links and print them; exit 1 if any rotation failed or is still waiting')
    .option('--timeout <duration>', 'how long to wait for Redis and the links (default: as long as the limit needs)')
    .option('--yes', 'do not ask for confirmation, as --all and more than ten groups do')
    .option('--json', 'print one JSON object per line')
    .action(async (groups, options) => {
      const { rotate } = await import('./commands/rotate.ts');
      exitCode = await rotate(groups, options);
    }),
);
program.addCommand(
  command('status', 'show every group and instance, and what needs attention')
    .argument('[name]', 'a group or an instance: everything about it')
    .option('--watch', 'refresh every 2 s until Ctrl-C')
    .option('--json', 'print JSON')
    .action(async (name, options) => {
      const { status } = await import('./commands/status.ts');
      exitCode = await status(name, options);
    }),
);
program.addCommand(
  command('links', 'print the current links; takes nothing off a queue')
    .argument('[group...]', 'ids, JIDs, invite codes or links (default: every group)')
    .option('--json', 'print JSON')
    .action(async (groups, options) => {
      const { links } = await import('./commands/links.ts');
      exitCode = await links(groups, options);
    }),
);
program.addCommand(
  command('history', "print the revisions of a group's link: from, until, reason, who asked and why")
    .argument('[group]', 'id, JID, or an invite code or link that the group has or had (default: every group)')
    .option('--since <duration>', 'only links that became live within this time, such as 7d')
    .option('--json', 'print JSON')
    .action(async (group, options) => {
      const { history } = await import('./commands/history.ts');
      exitCode = await history(group, options);
    }),
);
program.addCommand(
  service('consume', 'take events off a results queue and print one JSON object per line')
    .option('--queue <name>', 'results queue (default: the first of results.queues)')
    .action(async (options) => {
      const { consume } = await import('./commands/consume.ts');
      exitCode = await consume(options);
    }),
);
program.addCommand(
  command('health', 'tell by the exit code whether the worker on this machine is alive, for health checks').action(
    async (options) => {
      const { health } = await import('./commands/health.ts');
      exitCode = await health(options);
    },
  ),
);
program.addCommand(
  service('join', 'serve stable addresses that redirect to the live links, with QR codes and pages to print').action(
    async (options) => {
      finish = endSoon;
      const { join } = await import('./commands/join.ts');
      exitCode = await join(options);
    },
  ),
);

// A closed stderr does not end the program.
process.stderr.on('error', () => {});
// Node.js would print all properties of the error, such as a Redis command with links among its arguments.
process.on('uncaughtException', (error: NodeJS.ErrnoException) => {
  // Only streams without a listener for errors get here: standard output, unless the command listens.
  void finish(explain(error.syscall === 'write' ? new OutputError(error) : error));
});
endAtSignals();
try {
  await program.parseAsync();
} catch (error) {
  exitCode = explain(error);
}
await finish(exitCode);

/** Prints one line for what a user can correct, and a stack trace for a bug. Returns the exit code. */
function explain(error: unknown): number {
  if (error instanceof CommanderError) return explainUsage(error);
  if (error instanceof ConfigError) return fail(error.message, 2);
  if (error instanceof CommandError) return fail(error.message, error.exitCode);
  if (error instanceof OutputError) return error.isClosed ? 0 : fail(error.message, 1);
  if (error instanceof ProxySettingsError || error instanceof RedisSettingsError) return fail(error.message, 2);
  if (error instanceof Interrupted) return fail(error.message, signalCodes[error.signal]);
  if (error instanceof RedisStartError) return fail(error.message, 1);
  if (error instanceof Error && error.name === 'ReplyError') return fail(replyText(error), 1);
  return fail(error instanceof Error ? withSourceLines(error.stack ?? error.message) : String(error), 1);
}

/** Commander reports help as an error too, after printing it. */
function explainUsage({ exitCode, code, message }: CommanderError): number {
  if (exitCode === 0) return 0;
  return code === 'commander.help' ? 2 : fail(`${message}${usageHint(code, message)} (see --help)`, 2);
}

/** The command or option that was probably meant, if one is near. */
function usageHint(code: string, message: string): string {
  const [, given = ''] = /'([^']*)'/.exec(message) ?? [];
  if (code === 'commander.unknownCommand') return didYouMean(given, namesOf(program.commands));
  return code === 'commander.unknownOption' ? didYouMean(given, optionsOf(asked)) : '';
}

function namesOf(commands: readonly Command[]): string[] {
  return commands.map((one) => one.name());
}

function optionsOf({ options }: Command): string[] {
  return options.map(({ long }) => long ?? '');
}

/** Names the command and key for which a Redis user lacks the permission. */
function replyText(error: Error & { command?: { name?: string; args?: unknown[] } }): string {
  const reason = refusalOf(error);
  const { name = '', args = [] } = error.command ?? {};
  // A script's arguments may be links. Its first key is not.
  const key = /^eval/.test(name) ? args[2] : args[0];
  const subject = /one of the keys/.test(error.message) ? `${name} ${String(key)}` : name;
  return `Redis refuses ${subject}: ${reason === null ? error.message : refusalReasons[reason]}`;
}

function fail(message: string, code: number): number {
  process.stderr.write(`${redactSecrets(message)}\n`);
  return code;
}
