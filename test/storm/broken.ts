/**
 * The program built with one rule removed, to test the checker. Only rules whose absence every storm shows: those that
 * need an unlucky moment, such as the fence, are proven by the exploration.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Breakage {
  readonly file: string;
  /** A text of the source, and its replacement. */
  readonly from: string;
  readonly to: string;
}

export const breakages: Readonly<Record<string, readonly Breakage[]>> = {
  'publish before commit': [
    {
      file: 'rotation/call.ts',
      from: 'const { record, events, fenced, repeated } = await endAttempt(deps, target, attempt, outcome);',
      to: `{
        const { record: seen, nowMs } = await deps.store.load(recordId);
        const mine = { ...seen, attempt, settled: null };
        const ended = { kind: 'ended', attempt, outcome };
        const { events } = transition(mine, ended, nowMs, deps.settleTimeMs);
        for (const queue of target.entry.queues)
            for (const event of events) await deps.redis.rpush(deps.keys.outbox(queue), JSON.stringify(event));
    }
    const { record, events, fenced, repeated } = await endAttempt(deps, target, attempt, outcome);`,
    },
  ],
  'no read-back': [{ file: 'rotation/decide.ts', from: "return { do: 'readBack' };", to: "return { do: 'reset' };" }],
  'slot freed early': [
    {
      file: 'budget/settle.lua',
      from: 'ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])',
      to: 'ARGV[2], tonumber(ARGV[3]) / 4, tonumber(ARGV[4])',
    },
    {
      file: 'budget/acquire.lua',
      from: 'tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])',
      to: 'tonumber(ARGV[4]), tonumber(ARGV[5]) / 4, tonumber(ARGV[6])',
    },
    // Nor does it learn from what the answers say of the server's count, which would hide that.
    {
      file: 'budget/settle.lua',
      from: 'local limit, remaining, resetIn = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])',
      to: 'local limit, remaining, resetIn',
    },
  ],
  // As in earlier versions: only the job that started a call settles it, and not if its group was edited meanwhile.
  'no settler': [
    { file: 'planner/settler.ts', from: 'let released = 0;', to: 'return 0; let released;' },
    {
      file: 'rotation/decide.ts',
      from: '// First of all: no work is obsolete while something is unsettled.',
      to: `if (work.kind === 'scheduled' && (!isScheduled(record) || record.dueAt !== work.dueAt))
        return { do: 'finish', as: 'obsolete' };`,
    },
  ],
};

/** `root`: the folder of the package. */
export function breakProgram(root: string, name: string): { cli: string; remove: () => void } {
  const breakage = breakages[name];
  if (breakage === undefined)
    throw new Error(`--broken: "${name}" is not one of ${Object.keys(breakages).join(', ')}, all`);
  // Inside the package, so that it resolves the same modules.
  const folder = mkdtempSync(join(root, 'dist-broken-'));
  cpSync(join(root, 'src'), join(folder, 'src'), { recursive: true });
  symlinkSync(join(root, 'package.json'), join(folder, 'package.json'));
  for (const { file, from, to } of breakage) {
    const path = join(folder, 'src', file);
    const text = readFileSync(path, 'utf8');
    if (!text.includes(from)) throw new Error(`${file} does not say any more: ${from}`);
    writeFileSync(path, text.replace(from, to));
  }
  const rolldown = join(root, 'node_modules/rolldown/bin/cli.mjs');
  execFileSync(process.execPath, [rolldown, '-c', join(root, 'rolldown.config.js')], {
    cwd: folder,
    // Without the list of what it built, which no option leaves out.
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return { cli: join(folder, 'dist', 'cli.js'), remove: () => rmSync(folder, { recursive: true, force: true }) };
}
