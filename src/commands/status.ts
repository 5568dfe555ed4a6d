/** `invite-rotator status`: the state of every group and instance, or everything about one, as text or as JSON. */
import { unknownGroup } from '../client/unknownGroup.ts';
import type { Config } from '../config/config.ts';
import { didYouMean } from '../config/nearMiss.ts';
import { plannerQueue, rotationsQueue } from '../contract/queueNames.ts';
import { codeIn, findGroup } from '../groups/jids.ts';
import { createGroupStore } from '../groups/store.ts';
import type { Database } from '../redis/database.ts';
import { readGroup } from '../status/group.ts';
import { readStatus, type Status } from '../status/status.ts';
import { CommandError, type CommonOptions, readConfig, stopSignal, withRedis } from './context.ts';
import { print } from './output.ts';
import { renderGroup } from './statusOfGroup.ts';
import { renderStatus } from './statusView.ts';

export interface StatusOptions extends CommonOptions {
  readonly watch?: boolean;
}

const refreshMs = 2_000;

/** `name`: a group or an instance. */
export async function status(name: string | undefined, options: StatusOptions): Promise<number> {
  const config = await readConfig(options);
  return await withRedis(config.redis, async (db) => {
    const read = name === undefined ? readerOfAll(db, config) : await readerOf(db, config, name);
    const isTerminal = process.stdout.isTTY === true;
    const show = async () => {
      const { json, text } = await read();
      if (options.json) return await print(`${JSON.stringify(json)}\n`);
      const shown = text({
        // A terminal may not know its size, and then says 0: one of a container that was attached without it, say.
        columns: (isTerminal && process.stdout.columns) || null,
        rows: (isTerminal && options.watch && process.stdout.rows) || null,
      });
      await print(isTerminal && options.watch ? refreshed(shown) : `${shown}\n`);
    };
    if (!options.watch) {
      await show();
      return 0;
    }
    return await watch(show, isTerminal && !options.json);
  });
}

type Reader = () => Promise<{
  readonly json: unknown;
  readonly text: (size: { readonly columns: number | null; readonly rows: number | null }) => string;
}>;

function readerOfAll(db: Database, config: Config, select = (all: Status) => all): Reader {
  const { file, hash } = config;
  return async () => {
    const all = select(await readStatus(db, config));
    const page = { ...all.page, next: null };
    return { json: { ...all, page }, text: (size) => renderStatus(all, { ...size, file, hash }) };
  };
}

async function readerOf(db: Database, config: Config, name: string): Promise<Reader> {
  const group = await findId(db, config, name);
  if (group !== null) return () => readOne(db, config, group);
  if (config.instances.some((instance) => instance.name === name)) {
    return readerOfAll(db, ofInstance(config, name), (all) => ({ ...all, paused: pausedOf(all, name) }));
  }
  throw new CommandError(2, unknownName(config, name));
}

/** The id of the group with this id, JID, invite code or link. */
async function findId(db: Database, { groupsById, groupsByJid }: Config, name: string): Promise<string | null> {
  const inFile = groupsById.get(name) ?? groupsByJid.get(name);
  if (inFile !== undefined) return inFile.id;
  const found = await findGroup(createGroupStore(db), name);
  return found !== null && groupsById.has(found.entry.group) ? found.entry.group : null;
}

function unknownName({ file, groups, instances }: Config, name: string): string {
  const ids = groups.map(({ id }) => id);
  if (codeIn(name) !== null || /[./@\s]/.test(name)) return unknownGroup(name, `not in ${file}`, ids);
  const hint = didYouMean(name, [...ids, ...instances.map((instance) => instance.name)]);
  return `${JSON.stringify(name.slice(0, 64))} is neither a group nor an instance of ${file}${hint}`;
}

async function readOne(db: Database, config: Config, id: string): ReturnType<Reader> {
  const detail = await readGroup(db, config, id);
  if (detail === null) throw new CommandError(2, unknownName(config, id));
  const { instance } = detail;
  const instances = config.instances.filter((one) => one.name === instance);
  const { readOneOffs } = await import('../status/oneOffs.ts');
  const [queued, { instances: statuses }] = await Promise.all([
    readOneOffs(db, detail),
    readStatus(db, { ...config, groups: [], instances }),
  ]);
  const view = { ...detail, instanceStatus: statuses[0] ?? null, queued };
  return { json: view, text: ({ columns }) => renderGroup(view, columns) };
}

function ofInstance(config: Config, name: string): Config {
  return {
    ...config,
    groups: config.groups.filter(({ instance }) => instance === name),
    instances: config.instances.filter((instance) => instance.name === name),
  };
}

function pausedOf({ paused }: Status, name: string): string[] {
  return paused.filter((queue) => queue === rotationsQueue(name) || queue === plannerQueue);
}

const clear = '\x1b[2J';
const home = '\x1b[H';
const clearRest = '\x1b[J';
const clearLine = '\x1b[K';
const hideCursor = '\x1b[?25l';
const showCursor = '\x1b[?25h';

/** In place of what the terminal shows, without flicker. */
function refreshed(text: string): string {
  return `${home}${text.replaceAll('\n', `${clearLine}\n`)}${clearLine}\n${clearRest}`;
}

/** Until a signal, which is the normal end. The terminal keeps the last state. */
async function watch(show: () => Promise<void>, isTerminal: boolean): Promise<number> {
  const stopped = stopSignal().then(() => true);
  const restore = () => void process.stdout.write(showCursor);
  if (isTerminal) {
    process.once('exit', restore);
    await print(`${hideCursor}${clear}`);
  }
  for (;;) {
    // A Redis that does not answer must not hold up the end.
    if (await Promise.race([stopped, show().then(() => false)])) return 0;
    if (await Promise.race([stopped, nextRefresh().then(() => false)])) return 0;
  }
}

/** In a moment, or at once when the terminal's size changes. */
function nextRefresh(): Promise<void> {
  const { stdout } = process;
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stdout.off('resize', done);
      resolve();
    };
    const timer = setTimeout(done, refreshMs);
    stdout.on('resize', done);
  });
}
