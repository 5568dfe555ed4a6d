/** `invite-rotator check`: validates the file and prints the plan. Needs no Redis and no token. */
import { askedPerMinute, rate } from '../config/feasibility.ts';
import { makePlan, type Plan } from '../config/plan.ts';
import { type CommonOptions, readConfig } from './context.ts';
import { plainTable } from './table.ts';

export async function check(options: CommonOptions): Promise<number> {
  const config = await readConfig(options);
  const plan = makePlan(config, askedPerMinute, Date.now());
  process.stdout.write(options.json ? `${JSON.stringify(plan)}\n` : `${renderPlan(plan)}\n`);
  return 0;
}

function renderPlan(plan: Plan): string {
  const instances = plainTable(['INSTANCE', 'GROUPS', 'CALLS A MINUTE', 'ALLOWED']);
  for (const instance of plan.instances) {
    const { groups, enabled, callsPerMinuteAsked, callsPerMinuteAllowed, sharesTokenWith } = instance;
    const shared = sharesTokenWith.length === 0 ? '' : ` (shared with ${sharesTokenWith.join(', ')})`;
    instances.push([
      instance.instance,
      enabled === groups ? String(groups) : `${groups} (${groups - enabled} disabled)`,
      rate(callsPerMinuteAsked),
      `${rate(callsPerMinuteAllowed)}${shared}`,
    ]);
  }
  const next = plainTable(['GROUP', 'NEXT ROTATION', 'SCHEDULE']);
  for (const instance of plan.instances)
    for (const { group, at, schedule } of instance.next) next.push([group, at, schedule]);
  return [
    `${plan.file} is valid.`,
    '',
    instances.toString(),
    '',
    'Next rotations (up to five an instance), if none of these groups was rotated before:',
    '',
    next.toString(),
  ].join('\n');
}
