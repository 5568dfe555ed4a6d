/** `check` on files that are valid: remarks, and the comparison with what is registered in Redis. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { createWorkerFiles, groupsFile } from '../../src/groups/files.ts';
import { syncRegistry } from '../../src/groups/registry.ts';
import { createGroupStore } from '../../src/groups/store.ts';
import { createDatabase } from '../../src/redis/database.ts';
import { run } from '../support/cli.ts';
import { jid, makeCliRig } from '../support/cliRig.ts';

const make = () => makeCliRig('ops: off\n');

/** Redis may take its time, as on a busy machine: the limit of `check` for reaching it does not run. */
const endless = 'AbortSignal.timeout = () => new AbortController().signal';
const patient = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(endless)}` };

it('remarks on schedules, and says what saving the file would do to registered groups', async () => {
  const { file, redis, prefix, ...rig } = await make();
  const env = { ...rig.env, ...patient };
  const loaded = await loadConfig(file);
  if (!loaded.ok) throw new Error('the file is broken');
  const db = createDatabase(redis, prefix);
  const files = createWorkerFiles(db);
  const groups = await groupsFile(loaded.config);
  await syncRegistry({ ...db, store: createGroupStore(db), files }, groups.groups, await files.announce(groups));

  const same = run(['check'], { env });
  expect(await same.ended).toBe(0);
  expect(same.stdout).toContain('Saving this file changes no group (registered in Redis: 1).');
  expect(same.stdout).not.toContain('Remarks');

  const many = Array.from({ length: 25 }, (_, i) => `{ id: g${i}, identifier: CODE${10_000 + i}, every: 1d }`);
  const edited = `groups: [{ id: first, identifier: ${jid}, cron: "0 9 1-7 * MON" }, ${many.join(', ')}]`;
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^groups: .*$/m, edited));
  const text = run(['check'], { env });
  expect(await text.ended).toBe(0);
  expect(text.stdout).toMatch(/^Remarks, .*\n {2}first: 0 9 1-7 \* MON: is due on the days 1-7 of the month and/m);
  expect(text.stdout).toMatch(/^Saving this file changes 26 groups \(registered in Redis: 1\): .*1 renamed.*\.$/m);
  expect(text.stdout).toMatch(/^ {2}first: renamed from vip: .*; next rotation 2\S+Z$/m);
  expect(text.stdout).toMatch(/^ {2}and 6 more$/m);

  const json = run(['check', '--json'], { env });
  expect(await json.ended).toBe(0);
  expect(json.json()[0]).toMatchObject({
    remarks: [{ about: 'groups', names: ['first'], count: 1 }],
    comparison: { compared: true, registered: 1, changes: expect.arrayContaining([]) },
  });
  expect((json.json()[0] as { comparison: { changes: unknown[] } }).comparison.changes).toHaveLength(26);
});

it('says why it was not compared, and does not wait for long', async () => {
  const { file, folder, env } = await make();
  const silent = createServer(() => {});
  await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done));
  onTestFinished(() => void silent.close());
  const { port } = silent.address() as { port: number };
  const { REDIS_URL: _, ...others } = env;
  const check = (more: Record<string, string>) =>
    run(['check', '--config', file], { env: { ...others, ...more }, cwd: folder });
  const [none, closed, unanswered] = [
    check({}),
    check({ REDIS_URL: 'redis://u:geheim@127.0.0.1:1', ...patient }),
    check({ REDIS_URL: `redis://127.0.0.1:${port}` }),
  ];
  for (const ran of [none, closed, unanswered]) {
    expect(await ran.ended).toBe(0);
    expect(ran.stdout).toMatch(/^Not compared with the groups that are registered in Redis: /m);
    expect(ran.stdout).not.toContain('geheim');
  }
  expect(closed.stdout).toContain('cannot reach Redis at redis://127.0.0.1:1');
  expect(unanswered.stdout).toContain('did not answer within 2 s');
});
