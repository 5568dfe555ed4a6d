/** The built program with one rule taken out, for proving the checker. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Breakage {
  readonly file: string;
  /** What the built file says, and what it says then. */
  readonly from: string;
  readonly to: string;
}

export const breakages: Readonly<Record<string, readonly Breakage[]>> = {
  'publish before commit': [
    {
      file: 'rotation/call.js',
      from: 'const ending = await endingOf(deps, target, outcome);',
      to: `const ending = await endingOf(deps, target, outcome);
    {
        const { record: seen, nowMs } = await deps.store.load(target.group.id);
        const mine = { ...seen, attempt: begun, settled: null };
        const { events } = attempts.transition(mine, { kind: 'ends', attempt: begun, ending }, nowMs, target.rules);
        for (const queue of target.place.queues)
            for (const event of events) await deps.redis.rpush(deps.keys.outbox(queue), JSON.stringify(event));
    }`,
    },
  ],
  'no read-back': [{ file: 'rotation/attempt.js', from: "return { do: 'readBack' };", to: "return { do: 'reset' };" }],
  'no fence': [
    {
      file: 'rotation/attempt.js',
      from: 'if (!owns(record, attempt.id)) {\n        const harmless',
      to: 'if (false) {\n        const harmless',
    },
  ],
  'slot freed early': [
    {
      file: 'budget/settle.lua',
      from: "'ZADD', slotsKey, now + per, slot)",
      // Much too early, so that a slow machine shows it as well.
      to: "'ZADD', slotsKey, now + per / 4, slot)",
    },
  ],
};

export function breakProgram(built: string, name: string): { cli: string; remove: () => void } {
  const breakage = breakages[name];
  if (breakage === undefined)
    throw new Error(`--broken: "${name}" is none of ${Object.keys(breakages).join(', ')}, all`);
  // Beside the original, so that it finds the same modules.
  const root = join(built, '..');
  const folder = mkdtempSync(join(root, 'dist-broken-'));
  cpSync(built, join(folder, 'dist'), { recursive: true });
  symlinkSync(join(root, 'package.json'), join(folder, 'package.json'));
  for (const { file, from, to } of breakage) {
    const path = join(folder, 'dist', file);
    const text = readFileSync(path, 'utf8');
    if (!text.includes(from)) throw new Error(`${file} does not say any more: ${from}`);
    writeFileSync(path, text.replace(from, to));
  }
  return { cli: join(folder, 'dist', 'cli.js'), remove: () => rmSync(folder, { recursive: true, force: true }) };
}
