/**
 * `invite-rotator init`: writes a small configuration file, with the instance's groups if its token is in the environment.
 * It never overwrites anything.
 */
import { lstat, mkdir, open, rm } from 'node:fs/promises';
import { dirname, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type NewFile, renderFile } from '../config/newFile.ts';
import { formatNames } from '../config/problems.ts';
import { readSecret } from '../config/secrets.ts';
import { apiSchema, instanceSchema } from '../config/sections.ts';
import { registerSecret } from '../log.ts';
import { createRyzeClient, type RyzeLists } from '../ryze/client.ts';
import { isFailure } from '../ryze/outcome.ts';
import { failureText } from '../ryze/policy.ts';
import { packageFolder } from '../version.ts';
import { CommandError, type CommonOptions, configFile } from './context.ts';
import { print } from './output.ts';

export interface InitOptions extends CommonOptions {
  readonly instance?: string;
  readonly baseUrl?: string;
}

const tokenEnv = 'RYZE_TOKEN';
/** Shorter than a worker's: somebody waits for the file. A list of groups may take longer. */
const timeoutMs = 10_000;

export async function init(options: InitOptions): Promise<number> {
  const { instance } = options;
  if (instance !== undefined && !instanceSchema.shape.name.safeParse(instance).success) {
    throw new CommandError(2, '--instance: expected 1 to 100 letters, digits, "_" or "-"');
  }
  const api = readApi(options);
  const file = configFile(options);
  // Before anything is asked. `write` checks it again.
  if (await lstat(file).catch(() => null)) throw exists(file);
  const found = await ask(api, instance ?? null);
  const baseUrl = options.baseUrl === undefined ? null : api.baseUrl;
  await write(file, renderFile({ schema: schemaFrom(file), baseUrl, tokenEnv, ...found }));
  if (found.problem !== null) process.stderr.write(`${found.problem}\n`);
  await print(report(file, options, found));
  return 0;
}

function readApi({ baseUrl }: InitOptions): { baseUrl: string; timeoutMs: number } {
  const parsed = apiSchema.safeParse({ baseUrl });
  if (!parsed.success) throw new CommandError(2, `--base-url: ${parsed.error.issues[0]?.message}`);
  return { baseUrl: parsed.data.baseUrl, timeoutMs };
}

interface Found extends Pick<NewFile, 'instance' | 'limit' | 'groups'> {
  /** Why the file has no groups of the instance. */
  readonly problem: string | null;
}

/** What RyzeAPI says about the token's instance. Without an answer there is less in the file, and that is no failure. */
async function ask(api: { baseUrl: string; timeoutMs: number }, wanted: string | null): Promise<Found> {
  const nothing = { instance: wanted, limit: null, groups: [] };
  const read = readSecret({ name: 'token', from: 'env', variable: tokenEnv }, process.env);
  if (!read.ok) return { ...nothing, problem: `No groups were listed: ${read.message}.` };
  const token = read.secret;
  registerSecret(token);
  const client = createRyzeClient(api);
  try {
    const named = wanted === null ? await nameOf(client, token) : { instance: wanted, problem: null };
    if (named.instance === null) return { ...nothing, problem: named.problem };
    const { instance } = named;
    const listed = await client.listGroups({ instance, token });
    const limit = listed.rateLimit?.limit ?? null;
    if (isFailure(listed)) {
      return { ...nothing, instance, limit, problem: `No groups were listed: ${failureText(listed)}.` };
    }
    const { groups } = listed.list;
    return {
      instance,
      limit,
      groups,
      problem: groups.length === 0 ? `${instance} is not a member of any group.` : null,
    };
  } finally {
    await client.close();
  }
}

/** Of the only instance that the token may use. */
async function nameOf(
  client: RyzeLists,
  token: string,
): Promise<{ readonly instance: string | null; readonly problem: string | null }> {
  const listed = await client.listInstances({ token });
  if (isFailure(listed)) return { instance: null, problem: `No groups were listed: ${failureText(listed)}.` };
  const names = listed.list.flatMap(({ name }) => name ?? []);
  if (names.length > 1) {
    const some = formatNames(names, 10);
    throw new CommandError(2, `the token may use ${names.length} instances; choose one with --instance: ${some}`);
  }
  const [instance = null] = names;
  return { instance, problem: instance === null ? 'RyzeAPI shows no instance to this token: use --instance.' : null };
}

function exists(file: string): CommandError {
  return new CommandError(1, `${file} exists already, and init never overwrites a file`);
}

async function write(file: string, text: string): Promise<void> {
  const refused = (error: unknown) =>
    new CommandError(1, `cannot write ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`);
  await mkdir(dirname(file), { recursive: true }).catch((error) => Promise.reject(refused(error)));
  try {
    // Fails if there is anything of this name, even a link to nowhere.
    const handle = await open(file, 'wx');
    try {
      await handle.writeFile(text);
    } catch (error) {
      await rm(file);
      throw error;
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? exists(file) : refused(error);
  }
}

/** The schema that this package contains, as seen from the file. */
function schemaFrom(file: string): string {
  const schema = fileURLToPath(new URL('config/rotation.schema.json', packageFolder));
  const path = relative(dirname(file), schema).split(sep).join('/');
  return encodeURI(path.startsWith('.') ? path : `./${path}`);
}

function report(file: string, { config }: InitOptions, { instance, groups }: Found): string {
  const command = (name: string) =>
    `invite-rotator ${name}${config === undefined ? '' : ` --config ${forShell(config)}`}`;
  const count = groups.length === 1 ? '1 group' : `${groups.length} groups`;
  const steps =
    groups.length > 0
      ? ['remove the groups whose links are to stay as they are']
      : [
          instance === null ? 'put the name of your instance into the file' : null,
          `set ${tokenEnv}, then append your groups: ${command('groups --yaml')} >> ${forShell(file)}`,
          'remove the example',
        ].filter((step) => step !== null);
  steps.push(
    `ask RyzeAPI whether each group can be rotated: ${command('check --online')}`,
    `run the worker: ${command('start')}`,
  );
  const title = groups.length > 0 ? `Wrote ${file} with ${count} of ${instance}.` : `Wrote ${file} with an example.`;
  return `${title}\nNext:\n${steps.map((step, i) => `${i + 1}. ${step}\n`).join('')}`;
}

/** A path as one word of a command that people copy. */
function forShell(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
