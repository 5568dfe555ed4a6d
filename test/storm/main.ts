/**
 * `npm run storm [-- --for 60s] [--seed N] [--verify on|off] [--keep] [--broken NAME|all]`: a chaos test with three workers,
 * 200 groups and three consumers. Faults and edits come for the given time, then stop. A checker that shares no code with
 * the program then checks every promise. The exit code is 1 if one was broken.
 *
 * `--verify`: whether the workers verify links; by default half of the seeds do. `--keep`: keep the history even if every
 * promise held. `--broken`: run a build with one rule removed, which the checker must detect.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseDuration } from '../../src/config/duration.ts';
import { breakages, breakProgram } from './broken.ts';
import { type Storm, storm } from './run.ts';
import { scarceLoad, usualLoad } from './settings.ts';

const { values } = parseArgs({
  options: {
    for: { type: 'string', default: '60s' },
    seed: { type: 'string' },
    verify: { type: 'string' },
    broken: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});
const forMs = parseDuration(values.for);
if (forMs === null) throw new Error(`--for: "${values.for}" is not a duration such as 60s or 10m`);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!['on', 'off', undefined].includes(values.verify)) throw new Error(`--verify: "${values.verify}" is not on or off`);
const verify = values.verify === undefined ? seed % 2 === 0 : values.verify === 'on';
const about = `seed ${seed}, verify ${verify ? 'on' : 'off'}`;
const root = fileURLToPath(new URL('../../../', import.meta.url));

process.exit(values.broken === undefined ? await runOnce() : await runBroken(values.broken));

async function runOnce(): Promise<number> {
  console.log(`${about}, for ${values.for}`);
  const result = await storm({
    cli: `${root}dist/cli.js`,
    seed,
    forMs: forMs ?? 0,
    verify,
    load: usualLoad,
    untilViolation: false,
    keep: values.keep,
  });
  print(result);
  return result.findings.length === 0 ? 0 : 1;
}

async function runBroken(which: string): Promise<number> {
  const names = which === 'all' ? Object.keys(breakages) : [which];
  let missed = 0;
  for (const name of names) {
    const { cli, remove } = breakProgram(root, name);
    try {
      const { findings } = await storm({
        cli,
        seed,
        forMs: forMs ?? 0,
        verify,
        load: name === 'slot freed early' ? scarceLoad : usualLoad,
        untilViolation: true,
        keep: values.keep,
      });
      if (findings.length === 0) missed += 1;
      console.log(`${name}: ${findings.length === 0 ? 'NOT DETECTED' : 'detected'} (${about})`);
      for (const { promise, violations } of findings) console.log(`  ${promise}: ${violations[0]}`);
    } finally {
      remove();
    }
  }
  return missed === 0 ? 0 : 1;
}

function print(result: Storm): void {
  const { counts, findings } = result;
  console.log(`calls ${result.calls}, ${result.faults} of them with a fault`);
  console.log(
    `kills ${counts.kills}, freezes ${counts.freezes}, partitions ${counts.partitions}, restarts ${counts.restarts}, ` +
      `Redis cut ${counts.redisCuts} times, restarted ${counts.redisRestarts}, refusing ${counts.refusals}, emptied ${counts.flushes}; ` +
      `groups poisoned ${counts.poisonings}, links reset by people ${counts.humans}`,
  );
  const kinds = Object.entries(result.edits).map(([kind, count]) => `${kind} ${count}`);
  console.log(`edits ${counts.edits} (${kinds.join(', ')}), queues emptied ${counts.wipes} times`);
  console.log(
    `one-offs ${result.oneOffs}, rotations ${result.rotations} (${result.recoveries} recovered), resets ${result.resets} ` +
      `(${(result.resets / Math.max(result.rotations, 1)).toFixed(2)} per rotation), adopted ${result.adopted}, drifts ${result.drifts}, failures ${result.failures}`,
  );
  console.log(`repeats seen by consumers ${result.repeats}, pages read ${result.pages}`);
  console.log(`settled ${result.settledAfterMs} ms after the last incident`);
  console.log('dead links by cause:');
  for (const line of result.deadTimes) console.log(`  ${line}`);
  for (const { promise, violations } of findings) {
    console.log(`BROKEN ${promise}: ${violations.length}`);
    for (const line of violations.slice(0, 5)) console.log(`  ${line}`);
  }
  console.log(`violations ${findings.reduce((sum, { violations }) => sum + violations.length, 0)}`);
}
